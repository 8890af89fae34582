#include "client/engine/arrival_pipe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr int wanted_bytes = 1024 * 1024;  // what pipe-max-size allows anybody

// A kernel, or a sandbox, that has no splice for this pair; or no memory for it.
bool is_refusal(ssize_t result) {
  return result == -EINVAL || result == -ENOSYS || result == -EPERM || result == -EOPNOTSUPP ||
         result == -ENOMEM;
}

}  // namespace

void ArrivalPipe::open(Stream& stream) noexcept {
  ENSURE(!inlet_.is_open());
  std::array<int, 2> ends{};
  if (!stream.gives_pages() || ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
  outlet_.reset(ends[0]);
  inlet_.reset(ends[1]);
  ::fcntl(inlet_.get(), F_SETPIPE_SZ, wanted_bytes);
  // How much a pipe takes depends on the pieces in which it comes: the network's, not our pages.
  largest_ = std::numeric_limits<std::size_t>::max();
}

ssize_t ArrivalPipe::receive(Stream& stream, std::size_t bytes) noexcept {
  const ssize_t result = stream.receive_to_pipe(inlet_.get(), bytes);
  if (result > 0) size_ += static_cast<std::size_t>(result);
  if (!is_refusal(result) && (result != -EAGAIN || size_ == 0 || !is_full())) return result;
  largest_ = size_;
  return -ENOBUFS;
}

// -EAGAIN does not say which side made it wait.
bool ArrivalPipe::is_full() const noexcept {
  pollfd state{inlet_.get(), POLLOUT, 0};
  return ::poll(&state, 1, 0) == 0;
}

std::size_t ArrivalPipe::move_to(int pipe) noexcept {
  std::size_t moved = 0;
  while (size_ > 0) {
    const ssize_t result =
        ::splice(outlet_.get(), nullptr, pipe, nullptr, size_, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (result <= 0) break;
    size_ -= static_cast<std::size_t>(result);
    moved += static_cast<std::size_t>(result);
  }
  return moved;
}

void ArrivalPipe::copy_to(std::span<std::byte> memory) noexcept {
  ENSURE(memory.size() >= size_);
  while (size_ > 0) {
    const ssize_t result = ::read(outlet_.get(), memory.data(), size_);
    ENSURE(result > 0 || (result < 0 && errno == EINTR));
    if (result < 0) continue;
    size_ -= static_cast<std::size_t>(result);
    memory = memory.subspan(static_cast<std::size_t>(result));
  }
}

}  // namespace nbdring
