#pragma once
// The configuration file, /etc/nbdring/nbdring.toml or --config FILE: names for backends, and
// defaults for what neither an argument nor an option says.
//
//     [aliases]
//     disk1 = "nbds://alice@host/disk1"    # backend_names.hpp
//     [attach]
//     connections = 4                      # 1 to 16
//     timeout = 30                         # seconds, 1 to 86400
//     recovery-window = 30                 # seconds, 0 to 86400
//     [tls]                                # of remote backends that have TLS
//     psk-file = "/etc/nbdring/keys.psk"   # one of these two, both absolute
//     certificates = "/etc/nbdring/pki"
//     priority = "NORMAL"                  # GnuTLS's syntax
//     [gateway]                            # gateway_settings.hpp
//
// A PATH in an alias that is not absolute is looked for where nbdring runs. config*.cpp are the
// only users of toml++. Read once, at the start of a command.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/backend_names.hpp"
#include "cli/gateway_settings.hpp"

namespace nbdring {

constexpr std::string_view config_path_default = "/etc/nbdring/nbdring.toml";

/// [attach]
struct AttachDefaults {
  std::optional<unsigned> connections;
  std::optional<std::chrono::seconds> timeout;
  std::optional<std::chrono::seconds> recovery_window;
};

/// [tls]
struct TlsDefaults {
  std::optional<std::string> psk_file;
  std::optional<std::string> certificates;
  std::optional<std::string> priority;
};

struct Config {
  Aliases aliases;
  AttachDefaults attach;
  TlsDefaults tls;
  GatewaySettings gateway;
  std::vector<std::string> warnings;  // keys that nobody knows, a line for each
};

/// `file` is for messages. Throws Failure (usage) "FILE:LINE: what" for what is no TOML and for
/// values of the wrong type or out of range.
Config parse_config(std::string_view text, const std::string& file);

/// Of a regular file of at most 1 MiB, or /dev/null, which is empty; nothing where there is no
/// file. Throws as parse_config() does, and Failure (failed) for a file that cannot be read. The
/// aliases name programs to run (exec:), so user 0 refuses a file that anybody but root can write.
std::optional<Config> read_config(const std::string& path, uid_t user);

}  // namespace nbdring
