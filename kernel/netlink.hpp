#pragma once
// The driver's generic netlink family "nbd": CONNECT, RECONFIGURE, DISCONNECT. The only user of
// libnl.
//
// All calls run on one thread of their own: the family's operations hold the kernel's global
// genl_mutex and may hang (a DISCONNECT while a socket is full). Each has a deadline; one that is
// not back in time is `stuck` and is left behind. The thread and the socket live as long as this
// object: sysfs shows the thread as the device's `pid`, and a coming driver shuts a device down
// when the socket that connected it is closed. Needs CAP_SYS_ADMIN in the initial user namespace.
//
// The socket may be one that other processes hold as well (a coming driver ends a device whose
// socket is closed, so somebody keeps it who outlives the engine). Answers that a predecessor did
// not live to read are passed over by their sequence numbers.
//
// The numbers are ours and not those of <linux/nbd-netlink.h>: there they are enumerators, so an
// old header cannot be told apart by #ifdef. Sources: drivers/block/nbd.c and
// include/uapi/linux/nbd-netlink.h, Linux 6.1 to 6.18.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

namespace nbd_netlink {
constexpr char family_name[] = "nbd";
constexpr std::uint8_t family_version = 1;

enum class Command : std::uint8_t { connect = 1, disconnect = 2, reconfigure = 3 };

enum class Attribute : int {
  index = 1,                    // u32
  size_bytes = 2,               // u64
  block_size_bytes = 3,         // u64, absent: 1024
  timeout_seconds = 4,          // u64, absent: what the previous user of the index left
  server_flags = 5,             // u64, transmission flags
  client_flags = 6,             // u64
  sockets = 7,                  // nest of socket_item
  dead_connection_timeout = 8,  // u64, seconds
  backend_identifier = 10,      // string, Linux 5.14
};

constexpr int socket_item = 1;        // nest of socket_descriptor
constexpr int socket_descriptor = 1;  // u32, looked up in the sender's table

/// Removes the device's node with its last user after DISCONNECT.
constexpr std::uint64_t destroy_on_disconnect = 1;
}  // namespace nbd_netlink

struct ConnectRequest {
  std::uint32_t index = 0;
  std::uint64_t size = 0;        // bytes; 0: no I/O yet, see Netlink::set_size()
  std::uint64_t block_size = 0;  // bytes
  std::uint64_t timeout_seconds = 0;
  std::uint64_t dead_connection_seconds = 0;
  std::uint64_t server_flags = 0;
  std::uint64_t client_flags = 0;
  /// Shared, because a stuck call must find the same sockets behind the same numbers whenever it
  /// comes to look.
  std::shared_ptr<const std::vector<FileDescriptor>> sockets;
  std::string identifier;
};

/// How a call ended. `stuck` and an errno exclude each other.
struct NetlinkResult {
  bool stuck = false;
  int error = 0;

  bool is_ok() const { return !stuck && error == 0; }
  std::string words() const;
};

/// In set_size(), set_dead_connection_timeout() and add_connection() the identifier must be the one
/// of CONNECT.
class Netlink {
 public:
  /// `socket`: from open_netlink_socket(), perhaps shared; none: opened when needed.
  explicit Netlink(FileDescriptor socket = FileDescriptor());
  ~Netlink();  // a stuck call's thread and the socket are left behind
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  /// Finds the family: ENOENT where the driver is not loaded. The others do it where it was not
  /// done; again after the driver was unloaded, which gives the family another number.
  NetlinkResult open(Deadline deadline);

  NetlinkResult connect(const ConnectRequest& request, Deadline deadline);

  /// Gives the device its size. Only while every connection is alive: it waits for what is in
  /// flight.
  NetlinkResult set_size(std::uint32_t index, const std::string& identifier, std::uint64_t size,
                         Deadline deadline);

  /// For how long I/O waits when all connections are dead.
  NetlinkResult set_dead_connection_timeout(std::uint32_t index, const std::string& identifier,
                                            std::uint64_t seconds, Deadline deadline);

  /// One more connection in the place of a dead one. 0 also where none was dead: then the driver
  /// has dropped the socket again, which its other end sees as an end.
  NetlinkResult add_connection(std::uint32_t index, const std::string& identifier,
                               std::shared_ptr<const std::vector<FileDescriptor>> sockets,
                               Deadline deadline);

  NetlinkResult disconnect(std::uint32_t index, Deadline deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A socket for generic netlink, bound, close-on-exec, without any library: for whoever holds it
/// for the device's life and passes it on. Failure (cannot_attach).
FileDescriptor open_netlink_socket();

/// The attributes of a CONNECT message as they go over the wire; for tests.
std::vector<std::byte> connect_attributes(const ConnectRequest& request);

}  // namespace nbdring
