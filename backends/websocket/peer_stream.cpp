#include "backends/websocket/peer_stream.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

bool is_eject(const std::optional<WebsocketStream::Ending>& ending) {
  constexpr std::uint16_t normal = 1000, without_code = 1005;
  return ending && ending->by_peer && ending->was_clean &&
         (ending->code == normal || ending->code == without_code);
}

PeerStream::PeerStream(std::shared_ptr<Peers> peers, Loop& loop,
                       std::unique_ptr<WebsocketStream> stream, PeerInfo info,
                       std::vector<std::byte> early)
    : peers_(std::move(peers)),
      loop_(loop),
      stream_(std::move(stream)),
      info_(std::move(info)),
      early_(std::move(early)),
      was_heard_(!early_.empty()) {
  stream_->move_to(loop);
  peers_->begin_use(*this);
}

PeerStream::~PeerStream() {
  if (!has_ended_ && !by_us_) shut_down();  // a lane's attempt that failed: the peer hears of it
  ended(0);
  const std::lock_guard guard(peers_->lock_);
  if (is_posted_) loop_.withdraw(*this);
}

ssize_t PeerStream::receive(std::span<iovec> buffers) noexcept {
  if (early_taken_ < early_.size()) return static_cast<ssize_t>(take_early(buffers));
  const ssize_t result = stream_->receive(buffers);
  if (result > 0) {
    if (!std::exchange(was_heard_, true) && info_.place) info_.place->heard();
  } else if (result != -EAGAIN && result != -EINTR) {
    ended(result);
  }
  return result;
}

std::size_t PeerStream::take_early(std::span<iovec> buffers) noexcept {
  std::size_t taken = 0;
  for (const iovec& buffer : buffers) {
    const std::size_t bytes = std::min(buffer.iov_len, early_.size() - early_taken_);
    if (bytes > 0) std::memcpy(buffer.iov_base, early_.data() + early_taken_, bytes);
    early_taken_ += bytes;
    taken += bytes;
  }
  return taken;
}

Operation PeerStream::readable() {
  if (early_taken_ < early_.size()) return Operation(loop_, POLLIN);
  return stream_->readable();
}

void PeerStream::shut_down() noexcept {
  ends_by_us();
  stream_->shut_down();
}

void PeerStream::end_sending() noexcept {
  ends_by_us();
  stream_->end_sending();
}

void PeerStream::reset() noexcept {
  ends_by_us();
  stream_->reset();
}

void PeerStream::move_to(Loop& loop) noexcept { ENSURE(&loop == &loop_); }

void PeerStream::ends_by_us() noexcept {
  if (std::exchange(by_us_, true)) return;
  const std::lock_guard guard(peers_->lock_);
  stream_->set_close(peers_->close_code_, peers_->close_reason_);
}

void PeerStream::ended(ssize_t result) noexcept {
  if (std::exchange(has_ended_, true)) return;
  // Who closes because we have taken our leave does not eject.
  peers_->end_use(*this, !by_us_ && is_eject(stream_->ending()), result == -ETIMEDOUT);
}

void PeerStream::ask_to_answer() {
  must_answer_ = true;
  post();
}

void PeerStream::ask_to_close() {
  must_close_ = true;
  post();
}

void PeerStream::post() {
  if (!std::exchange(is_posted_, true)) loop_.post(*this);
}

void PeerStream::deliver() noexcept {
  bool answer = false, close = false;
  {
    const std::lock_guard guard(peers_->lock_);
    is_posted_ = false;
    answer = std::exchange(must_answer_, false);
    close = std::exchange(must_close_, false);
  }
  if (has_ended_) return;
  if (answer) stream_->probe(peers_->options_.answer_time);
  // Not shut_down(): the peer hears the code, whatever is on its way to us.
  if (close) {
    ends_by_us();
    stream_->say_close();
  }
}

}  // namespace nbdring
