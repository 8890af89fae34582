#include "client/transport/socket.hpp"

#include <sys/socket.h>

#include <cerrno>
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

}  // namespace

SocketStream::SocketStream(Loop& loop, FileDescriptor socket)
    : loop_(loop), socket_(std::move(socket)) {
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

}  // namespace nbdring
