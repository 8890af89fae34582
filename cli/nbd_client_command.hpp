#pragma once
// What nbd-client's command line asks for, as plain structs (nbd_client.hpp).

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nbdring {

/// A device as nbd-client describes one: on its command line, and in nbdtab(5)'s fields.
struct NbdClientDevice {
  std::optional<std::uint32_t> index;  // of /dev/nbdN; none: a free one
  std::string host;                    // or the socket's path
  bool is_unix = false;
  std::uint16_t port = 10809;
  std::string export_name;              // empty: the server's default export
  std::optional<unsigned> connections;  // more than attach takes are as many as it takes
  std::optional<std::uint32_t> block_size;
  std::optional<std::uint64_t> size;            // bytes: no more of the export than these
  std::optional<std::chrono::seconds> timeout;  // 0: none
  bool read_only = false;
  bool wants_tls = false;
  // PEM files; one of these four makes it TLS too.
  std::string certfile;
  std::string keyfile;
  std::string cacertfile;
  std::string tls_hostname;
};

struct NbdClientCommand {
  enum class Action { connect, connect_from_tab, disconnect, check, list };

  Action action = Action::connect;
  NbdClientDevice device;            // of connect; of list the server
  std::string target;                // the device of the other three
  bool foreground = false;           // of connect
  bool root_device = false;          // of connect: AttachCommand's
  std::vector<std::string> remarks;  // on options that mean nothing here: "-swap: always so"
};

}  // namespace nbdring
