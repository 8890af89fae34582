#include "client/transport/socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

msghdr message_of(std::span<iovec> buffers) {
  msghdr message{};
  message.msg_iov = buffers.data();
  message.msg_iovlen = buffers.size();
  return message;
}

int domain_of(int socket) noexcept {
  int domain = AF_UNSPEC;
  socklen_t length = sizeof domain;
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 ? domain : AF_UNSPEC;
}

}  // namespace

void widen_unix(int socket) noexcept {
  constexpr int bytes = 1 << 20;
  if (domain_of(socket) != AF_UNIX) return;
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0) return;
  // Without CAP_NET_ADMIN as much as net.core.wmem_max allows.
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

SocketStream::SocketStream(Loop& loop, FileDescriptor socket)
    : loop_(&loop), socket_(std::move(socket)) {
  ENSURE(socket_.is_open());
}

ssize_t SocketStream::receive(std::span<iovec> buffers) noexcept {
  msghdr message = message_of(buffers);
  const ssize_t bytes = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  return bytes >= 0 ? bytes : -errno;
}

ssize_t SocketStream::send(std::span<iovec> buffers) noexcept {
  msghdr message = message_of(buffers);
  const ssize_t bytes = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return bytes >= 0 ? bytes : -errno;
}

void SocketStream::shut_down() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

void SocketStream::end_sending() noexcept { ::shutdown(socket_.get(), SHUT_WR); }

void SocketStream::reset() noexcept {
  // TCP: connecting to nowhere sends RST and drops the send queue at once (connect(2),
  // tcp_disconnect()); SO_LINGER would do it only at the close. Other sockets refuse it.
  const sockaddr nowhere{AF_UNSPEC, {}};
  ::connect(socket_.get(), &nowhere, sizeof nowhere);
  shut_down();
}

void SocketStream::stop_waiting() noexcept { loop_->cancel(socket_.get()); }

bool SocketStream::peer_has_ended() const noexcept {
  pollfd state{socket_.get(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1;
}

bool SocketStream::is_local() const noexcept { return domain_of(socket_.get()) == AF_UNIX; }

// A splice waits, for room or for bytes, unless the socket itself is non-blocking; to us it makes
// no other difference, nor to whoever is handed the socket.
bool SocketStream::stop_blocking() noexcept {
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  return flags >= 0 && ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) == 0;
}

bool SocketStream::takes_pages() noexcept {
  struct sigaction at_broken_pipe {};
  if (::sigaction(SIGPIPE, nullptr, &at_broken_pipe) != 0) return false;
  if ((at_broken_pipe.sa_flags & SA_SIGINFO) != 0 || at_broken_pipe.sa_handler != SIG_IGN) {
    return false;
  }
  return stop_blocking();
}

ssize_t SocketStream::send_from_pipe(int pipe, std::size_t bytes) noexcept {
  const ssize_t sent =
      ::splice(pipe, nullptr, socket_.get(), nullptr, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  return sent >= 0 ? sent : -errno;
}

bool SocketStream::gives_pages() noexcept {
  const int domain = domain_of(socket_.get());
  return (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX) && stop_blocking();
}

ssize_t SocketStream::receive_to_pipe(int pipe, std::size_t bytes) noexcept {
  const ssize_t received =
      ::splice(socket_.get(), nullptr, pipe, nullptr, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  return received >= 0 ? received : -errno;
}

}  // namespace nbdring
