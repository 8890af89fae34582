#include "tests/support/simulated_stream.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include "client/runtime/loop.hpp"

namespace nbdring {
namespace {

std::size_t total(std::span<const iovec> buffers) {
  std::size_t bytes = 0;
  for (const iovec& buffer : buffers) bytes += buffer.iov_len;
  return bytes;
}

}  // namespace

ReadinessFlag::ReadinessFlag() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ENSURE(event_.is_open());
}

void ReadinessFlag::set(bool ready) {
  if (ready == ready_) return;
  ready_ = ready;
  std::uint64_t value = 1;
  const ssize_t bytes = ready ? ::write(event_.get(), &value, sizeof value)
                              : ::read(event_.get(), &value, sizeof value);
  ENSURE(bytes == sizeof value);
}

Operation ReadinessFlag::wait(Loop& loop) { return loop.readable(event_.get()); }

void ReadinessFlag::stop_waiting(Loop& loop) noexcept { loop.cancel(event_.get()); }

SimulatedStream::SimulatedStream(Loop& loop, Random& random, const SimulatedStreamOptions& options)
    : loop_(&loop), random_(random), options_(options) {
  update();
}

void SimulatedStream::update() {
  const bool is_over = closed_ && transit_.empty();
  const bool has_something = !arrived_.empty() || is_over;
  readable_.set((has_something && !kept_from_reading_) || reset_ || shut_down_);
  const bool fails = reset_ || shut_down_ || takes_no_reply_;
  writable_.set(sent_.size() < options_.window_bytes || fails);
}

ssize_t SimulatedStream::interruption() {
  if (options_.again_percent == 0 || !random_.percent(options_.again_percent)) return 0;
  return random_.percent(10) ? -EINTR : -EAGAIN;
}

std::size_t SimulatedStream::piece(std::size_t bytes) {
  const std::size_t longest = options_.piece_bytes == 0 ? bytes : options_.piece_bytes;
  const std::size_t most = std::min(bytes, longest);
  // Half of the time everything, else a cut at any byte.
  return random_.percent(50) ? most : random_.between(1, most);
}

ssize_t SimulatedStream::receive(std::span<iovec> buffers) noexcept {
  ENSURE(total(buffers) > 0);
  if (reset_) return -ECONNRESET;
  if (const ssize_t again = interruption(); again != 0) return again;
  if (kept_from_reading_ && !shut_down_) return -EAGAIN;
  if (arrived_.empty()) {
    const bool is_over = shut_down_ || (closed_ && transit_.empty());
    return is_over ? 0 : -EAGAIN;
  }
  const std::size_t fits = std::min(total(buffers), arrived_.size());
  std::size_t left = options_.receives_all ? fits : piece(fits);
  const auto received = static_cast<ssize_t>(left);
  for (const iovec& buffer : buffers) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(left, buffer.iov_len));
    std::copy_n(arrived_.begin(), count, static_cast<std::byte*>(buffer.iov_base));
    arrived_.erase(arrived_.begin(), arrived_.begin() + count);
    left -= static_cast<std::size_t>(count);
  }
  update();
  return received;
}

ssize_t SimulatedStream::send(std::span<iovec> buffers) noexcept {
  ENSURE(total(buffers) > 0);
  if (reset_ || shut_down_ || takes_no_reply_) return -EPIPE;
  if (const ssize_t again = interruption(); again != 0) return again;
  if (sent_.size() >= options_.window_bytes) return -EAGAIN;
  std::size_t left = piece(std::min(total(buffers), options_.window_bytes - sent_.size()));
  const auto accepted = static_cast<ssize_t>(left);
  for (const iovec& buffer : buffers) {
    const std::size_t count = std::min(left, buffer.iov_len);
    const auto* bytes = static_cast<const std::byte*>(buffer.iov_base);
    sent_.insert(sent_.end(), bytes, bytes + count);
    left -= count;
  }
  update();
  return accepted;
}

void SimulatedStream::shut_down() noexcept {
  shut_down_ = true;
  update();
}

void SimulatedStream::stop_waiting() noexcept {
  readable_.stop_waiting(*loop_);
  writable_.stop_waiting(*loop_);
}

void SimulatedStream::client_sends(std::span<const std::byte> bytes) {
  ENSURE(!closed_);
  if (!reset_) transit_.insert(transit_.end(), bytes.begin(), bytes.end());
}

std::size_t SimulatedStream::deliver(std::size_t bytes) {
  const std::size_t count = std::min(bytes, transit_.size());
  const auto end = transit_.begin() + static_cast<std::ptrdiff_t>(count);
  if (!shut_down_) arrived_.insert(arrived_.end(), transit_.begin(), end);
  transit_.erase(transit_.begin(), end);
  update();
  return count;
}

std::vector<std::byte> SimulatedStream::client_takes(std::size_t bytes) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(bytes, sent_.size()));
  std::vector<std::byte> taken(sent_.begin(), sent_.begin() + count);
  sent_.erase(sent_.begin(), sent_.begin() + count);
  update();
  return taken;
}

void SimulatedStream::client_closes() {
  closed_ = true;
  update();
}

void SimulatedStream::client_shuts_down() {
  closed_ = true;
  takes_no_reply_ = true;
  transit_.clear();
  sent_.clear();
  update();
}

void SimulatedStream::keep_from_reading(bool kept) {
  kept_from_reading_ = kept;
  update();
}

void SimulatedStream::client_resets() {
  reset_ = true;
  transit_.clear();
  arrived_.clear();
  sent_.clear();
  update();
}

}  // namespace nbdring
