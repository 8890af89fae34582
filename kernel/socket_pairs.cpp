#include "kernel/socket_pairs.hpp"

#include <sys/socket.h>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// In bytes, each way; the kernel doubles it. A limit, not an allocation: what lies in a socket has
// a sender that waits. One such buffer takes a few of the largest requests, so that neither side
// sleeps in the middle of one: a send that is cut by a signal is what drivers before Linux 6.14
// answer with "Double reply".
constexpr int socket_buffer_bytes = 4 << 20;

void set_buffer(int socket) {
  const int bytes = socket_buffer_bytes;
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0) return;
  // Without CAP_NET_ADMIN as much as net.core.wmem_max allows: slower, not wrong.
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

}  // namespace

SocketPairs make_socket_pairs(unsigned count) {
  ENSURE(count > 0);
  SocketPairs pairs;
  auto driver = std::make_shared<std::vector<FileDescriptor>>();
  for (unsigned i = 0; i < count; ++i) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      fail_errno(FailureKind::failed, "socketpair for a lane");
    }
    pairs.lanes.emplace_back(ends[0]);
    driver->emplace_back(ends[1]);
    set_buffer(ends[0]);
    set_buffer(ends[1]);
  }
  pairs.driver = std::move(driver);
  return pairs;
}

}  // namespace nbdring
