#include "client/transport/pipe_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// The flags before.
int make_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  ENSURE(flags >= 0);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  return flags;
}

}  // namespace

PipeStream::PipeStream(Loop& loop, FileDescriptor input, FileDescriptor output,
                       std::function<void()> ended)
    : loop_(&loop),
      input_(std::move(input)),
      output_(std::move(output)),
      input_flags_(make_non_blocking(input_.get())),
      output_flags_(make_non_blocking(output_.get())),
      ended_(std::move(ended)) {}

PipeStream::~PipeStream() {
  // In the reverse order: they may be one and the same, whose flags the input had first.
  if (output_.is_open()) ::fcntl(output_.get(), F_SETFL, output_flags_);
  ::fcntl(input_.get(), F_SETFL, input_flags_);
}

ssize_t PipeStream::receive(std::span<iovec> buffers) noexcept {
  if (is_shut_down_) return 0;
  const ssize_t bytes = ::readv(input_.get(), buffers.data(), static_cast<int>(buffers.size()));
  if (bytes > 0) return bytes;
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return -EAGAIN;
  const ssize_t result = bytes < 0 ? -errno : 0;
  note_end();
  return result;
}

// SIGPIPE is ignored by whoever has such a stream (TerminationSignals).
ssize_t PipeStream::send(std::span<iovec> buffers) noexcept {
  if (is_shut_down_ || !output_.is_open()) return -EPIPE;
  const ssize_t bytes = ::writev(output_.get(), buffers.data(), static_cast<int>(buffers.size()));
  if (bytes >= 0) return bytes;
  return errno == EINTR ? -EAGAIN : -errno;
}

Operation PipeStream::readable() {
  if (is_shut_down_) return Operation(*loop_, POLLIN);
  return loop_->readable(input_.get());
}

Operation PipeStream::writable() {
  if (is_shut_down_ || !output_.is_open()) return Operation(*loop_, POLLOUT);
  return loop_->writable(output_.get());
}

void PipeStream::shut_down() noexcept {
  if (std::exchange(is_shut_down_, true)) return;
  // Of sockets the peer is to hear of it as well; a pipe's peer does when it is closed.
  ::shutdown(input_.get(), SHUT_RDWR);
  ::shutdown(output_.get(), SHUT_RDWR);
  loop_->cancel(input_.get());
  if (output_.is_open()) loop_->cancel(output_.get());
}

// Nobody sends any more, so nobody waits to: the one task that does is the caller.
void PipeStream::end_sending() noexcept {
  if (!output_.is_open() || ::shutdown(output_.get(), SHUT_WR) == 0) return;
  ::fcntl(output_.get(), F_SETFL, output_flags_);
  output_.reset();
}

void PipeStream::note_end() noexcept {
  if (ended_) std::exchange(ended_, nullptr)();
}

}  // namespace nbdring
