#include "backends/websocket/stream_state.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

using websocket::FrameReceiver;

WebsocketStream::State::State(Loop& loop, std::unique_ptr<Stream> lower, WebsocketRole role,
                              std::span<const std::byte> early, const WebsocketOptions& options)
    : loop_(&loop),
      options_(options),
      lower_(std::move(lower)),
      receiver_(*lower_, role, early, *this),
      sender_(*lower_, role),
      looked_at_(Clock::now()) {
  arm(looked_at_);
}

// Bytes that nobody has read make the kernel answer the close with a reset, which may overtake our
// close frame at the peer.
WebsocketStream::State::~State() {
  if (!sender_.said_close()) return;
  constexpr unsigned looks_max = 16;
  watch_ = nullptr;
  for (unsigned i = 0; i < looks_max && receiver_.end() == FrameReceiver::End::none; ++i) {
    const std::uint64_t before = receiver_.received();
    receiver_.look();
    receiver_.discard();
    if (receiver_.received() == before) break;
  }
}

ssize_t WebsocketStream::State::receive(std::span<iovec> buffers) noexcept {
  is_awaited_ = false;
  const std::size_t bytes = receiver_.receive(buffers);
  note_end();
  sender_.push_out();
  if (bytes > 0) return static_cast<ssize_t>(bytes);
  return has_ended_ ? result_ : -EAGAIN;
}

ssize_t WebsocketStream::State::send(std::span<iovec> buffers) noexcept {
  return has_ended_ ? -EPIPE : sender_.send(buffers);
}

Operation WebsocketStream::State::readable() {
  if (has_ended_ || receiver_.holds_received()) return Operation(*loop_, POLLIN);
  is_awaited_ = true;
  return lower_->readable();
}

// ---- What the receiving half has seen

bool WebsocketStream::State::control_came(const websocket::FrameDecoder& decoder) noexcept {
  switch (decoder.opcode()) {
    case websocket::Opcode::close:
      close_came(decoder.close());
      return false;
    case websocket::Opcode::ping:
      sender_.pong(decoder.control());
      return !is_flood();
    default:
      return !is_flood();  // a pong: that bytes came is the sign of life
  }
}

bool WebsocketStream::State::is_flood() noexcept {
  if (control_frames_++ == 0) second_began_ = Clock::now();
  if (control_frames_ <= options_.control_frames_max) return false;
  const bool is_flood = Clock::now() - second_began_ < std::chrono::seconds(1);
  control_frames_ = 0;
  if (is_flood) violated({websocket::close_policy, "too many pings"});
  return is_flood;
}

void WebsocketStream::State::close_came(const websocket::CloseFrame& frame) noexcept {
  const std::string_view close_reason(close_reason_);
  if (sender_.said_close()) {
    // An answer repeats the code, unless the peer had something to say that we did not wait for.
    const bool repeats = frame.code == close_code_ || frame.code == websocket::close_none;
    const auto code = repeats ? close_code_ : frame.code;
    end_with(0, {false, true, code, std::string(repeats ? close_reason : frame.reason)});
    return;
  }
  sender_.close(leaves_ ? close_code_ : frame.code, leaves_ ? close_reason : std::string_view());
  end_with(0, {true, true, frame.code, std::string(frame.reason)});
}

void WebsocketStream::State::violated(const websocket::Violation& violation) noexcept {
  sender_.close(violation.code, violation.text);
  end_with(-EPROTO, {false, false, violation.code, std::string(violation.text)});
}

void WebsocketStream::State::note_end() noexcept {
  switch (receiver_.end()) {
    case FrameReceiver::End::none:
    case FrameReceiver::End::stopped:
      break;
    case FrameReceiver::End::broken:
      if (!has_ended_) violated(receiver_.violation());
      break;
    case FrameReceiver::End::below:
      if (!has_ended_) ended_below();
      break;
  }
}

// Only a close frame says that the peer has finished: an end without one may be anybody's between
// us and it.
void WebsocketStream::State::ended_below() noexcept {
  const int error = receiver_.error_below();
  if (is_shut_down_) {
    end_with(0, {});
  } else if (error == 0) {
    end_with(-ECONNRESET, {true, false, websocket::close_abnormal, "gone without a close frame"});
  } else {
    end_with(-error, {true, false, websocket::close_abnormal, error_text(error)});
  }
}

void WebsocketStream::State::end_with(int result, const Ending& ending) noexcept {
  has_ended_ = true;
  result_ = result;
  probe_until_.reset();
  limit_closing(Clock::now() + options_.close_within);
  note(ending);
}

void WebsocketStream::State::note(const Ending& ending) noexcept {
  if (is_noted_.load(std::memory_order_relaxed)) return;
  ending_ = ending;
  is_noted_.store(true, std::memory_order_release);
  if (watch_) watch_(ending_);
}

std::optional<WebsocketStream::Ending> WebsocketStream::State::ending() const {
  if (!is_noted_.load(std::memory_order_acquire)) return std::nullopt;
  return ending_;
}

// ---- The clock

void WebsocketStream::State::tick() noexcept {
  const Clock::time_point now = Clock::now();
  if (close_until_ && now >= *close_until_) {
    // Who has said close and still waits; or who was told of the end, and holds on to it.
    if (!has_ended_) die("no answer to the close frame");
    close_until_.reset();
    lower_->shut_down();
  }
  if (!has_ended_) watch_peer(now);
  sender_.push_out();
  arm(now);
}

void WebsocketStream::State::watch_peer(Clock::time_point now) noexcept {
  note_signs(now);
  // Who was woken by readable() may not have come yet: before the peer is called dead, we look.
  if (!is_awaited_ || is_overdue(now)) {
    const bool has_room = receiver_.look();
    note_end();
    if (has_ended_) return;
    note_signs(now);
    // Without room the peer cannot be heard: that nobody receives from it is not its fault.
    if (!has_room) heard();
  }
  if (is_overdue(now)) {
    die("no sign of life");
  } else if (quiet_ - quiet_at_ping_ >= options_.ping_interval) {
    sender_.ping();
    quiet_at_ping_ = quiet_;
  }
}

void WebsocketStream::State::note_signs(Clock::time_point now) noexcept {
  // We may have been stopped, or the machine overloaded: such a time proves nothing about the peer.
  quiet_ += std::min(now - std::exchange(looked_at_, now), 2 * tick_interval());
  const std::uint64_t signs = receiver_.received() + sender_.drained();
  if (std::exchange(signs_seen_, signs) != signs) heard();
}

void WebsocketStream::State::heard() noexcept {
  quiet_ = quiet_at_ping_ = Clock::duration::zero();
  probe_until_.reset();
}

bool WebsocketStream::State::is_overdue(Clock::time_point now) const noexcept {
  return quiet_ >= options_.dead_after || (probe_until_ && now >= *probe_until_);
}

void WebsocketStream::State::die(std::string_view why) noexcept {
  end_with(-ETIMEDOUT, {true, false, websocket::close_abnormal, std::string(why)});
  lower_->reset();
  lower_->shut_down();
}

Clock::duration WebsocketStream::State::tick_interval() const noexcept {
  using std::chrono::milliseconds;
  const milliseconds quarter = std::min(options_.ping_interval, options_.dead_after) / 4;
  return std::clamp(quarter, milliseconds(5), milliseconds(5000));
}

void WebsocketStream::State::arm(Clock::time_point now) noexcept {
  Clock::time_point when = now + tick_interval();
  if (probe_until_) when = std::min(when, *probe_until_);
  if (close_until_) when = std::min(when, *close_until_);
  if (has_ended_ && !close_until_) {
    timer_.reset();
  } else {
    timer_.emplace(*loop_, when, *this);
  }
}

void WebsocketStream::State::probe(Clock::duration within) noexcept {
  if (has_ended_) return;
  const Clock::time_point now = Clock::now();
  watch_peer(now);  // what came before now says nothing
  if (has_ended_) return;
  probe_until_ = now + within;
  sender_.ping();
  quiet_at_ping_ = quiet_;
  sender_.push_out();
  arm(now);
}

void WebsocketStream::State::limit_closing(Clock::time_point deadline) noexcept {
  close_until_ = std::min(close_until_.value_or(deadline), deadline);
  if (timer_) arm(Clock::now());
}

void WebsocketStream::State::rest() noexcept {
  timer_.reset();
  is_awaited_ = false;
}

void WebsocketStream::State::move_to(Loop& loop) noexcept {
  ENSURE(!timer_ || loop_ == &loop);
  loop_ = &loop;
  lower_->move_to(loop);
  looked_at_ = Clock::now();
  heard();
  arm(looked_at_);
}

// ---- Our own end

void WebsocketStream::State::set_close(std::uint16_t code, std::string_view reason) {
  ENSURE(websocket::is_close_code(code));
  close_code_ = code;
  close_reason_ = reason;
}

void WebsocketStream::State::end_sending() noexcept {
  leaves_ = true;
  if (!has_ended_ && sender_.is_in_frame()) say_close();
}

void WebsocketStream::State::say_close() noexcept {
  if (has_ended_ || sender_.said_close()) return;
  if (sender_.is_in_frame()) {
    // Nobody will end the frame, so no close frame can follow it.
    lower_->end_sending();
  } else {
    sender_.close(close_code_, close_reason_);
    sender_.push_out();
  }
  limit_closing(Clock::now() + options_.close_within);
}

void WebsocketStream::State::shut_down() noexcept {
  if (!has_ended_ && !sender_.is_in_frame()) sender_.close(close_code_, close_reason_);
  sender_.push_out();
  is_shut_down_ = true;
  lower_->shut_down();
  note({false, false, close_code_, close_reason_});
}

void WebsocketStream::State::reset() noexcept { lower_->reset(); }

Task<void> WebsocketStream::State::close(Clock::time_point deadline) {
  say_close();
  limit_closing(deadline);
  while (!has_ended_) {
    is_awaited_ = false;
    receiver_.look();
    receiver_.discard();
    note_end();
    sender_.push_out();
    if (has_ended_) break;
    is_awaited_ = true;
    co_await lower_->readable();
  }
  shut_down();
}

}  // namespace nbdring
