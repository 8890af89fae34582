#pragma once
// A device as nbd-client describes one: on its command line, and in nbdtab(5)'s fields.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/options.hpp"

namespace nbdring {

struct NbdClientDevice {
  std::optional<std::uint32_t> index;  // of /dev/nbdN
  std::string host;                    // or the socket's path
  bool is_unix = false;
  std::uint16_t port = 10809;
  std::string export_name;  // empty: the server's default export
  std::optional<unsigned> connections;
  std::optional<std::uint32_t> block_size;
  std::optional<std::chrono::seconds> timeout;
  bool read_only = false;
  // PEM files; one of these four makes it TLS.
  std::string certfile;
  std::string keyfile;
  std::string cacertfile;
  std::string tls_hostname;
};

/// As `nbdring attach` would have got it. Throws Failure (usage).
AttachCommand attach_command(const NbdClientDevice& device);

}  // namespace nbdring
