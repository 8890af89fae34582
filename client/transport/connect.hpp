#pragma once
// Connecting a socket without making the loop wait: one address, one deadline.

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  /// A path, or with a NUL in front an abstract name. Throws Failure (usage) where it is too long.
  static SocketAddress of_unix(std::string_view path);
  static SocketAddress of_vsock(std::uint32_t context_id, std::uint32_t port);

  int family() const { return storage.ss_family; }
  /// Of TCP, without the port: "192.0.2.1", "2001:db8::1", "fe80::1%eth0".
  std::string text() const;

  friend bool operator==(const SocketAddress& a, const SocketAddress& b);
};

/// Returns 0 or an errno (ETIMEDOUT at the deadline). The socket, in non-blocking mode, is the
/// caller's from the start: loop.cancel() of it ends the attempt. On failure it is closed.
Task<int> connect_to(Loop& loop, FileDescriptor& socket, const SocketAddress& address,
                     Clock::time_point deadline);

/// Ends every wait on a descriptor of this loop when its time has come.
class WaitDeadline final : public Timer {
 public:
  WaitDeadline(Loop& loop, Clock::time_point when, int fd)
      : Timer(loop, when), loop_(loop), fd_(fd) {}

 private:
  void expired() override { loop_.cancel(fd_); }

  Loop& loop_;
  int fd_;
};

}  // namespace nbdring
