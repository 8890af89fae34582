#include "backends/websocket/frame_receiver.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring::websocket {
namespace {

// One reply to the kernel's usual largest request, 128 KiB, with all its headers; and fits L2.
constexpr std::size_t buffer_bytes = 132 * 1024;
constexpr std::size_t early_max = 64 * 1024;
constexpr std::size_t direct_min = 4096;  // less than a page is not worth a buffer of its own
constexpr std::size_t direct_buffers_max = 7;
// A peer whose bytes come faster than they are decoded, and hold no payload, must not keep the
// loop.
constexpr unsigned refills_max = 8;

static_assert(early_max <= buffer_bytes);

}  // namespace

void BufferCursor::advance(std::size_t bytes) {
  offset_ += bytes;
  filled_ += bytes;
  skip_filled();
}

void BufferCursor::skip_filled() {
  while (!buffers_.empty() && offset_ == buffers_[0].iov_len) {
    buffers_ = buffers_.subspan(1);
    offset_ = 0;
  }
}

FrameReceiver::FrameReceiver(Stream& lower, WebsocketRole role, std::span<const std::byte> early,
                             ControlFrames& controls)
    : lower_(lower),
      controls_(controls),
      decoder_(role),
      bytes_(std::make_unique_for_overwrite<std::byte[]>(buffer_bytes)),
      raw_end_(early.size()) {
  ENSURE(early.size() <= early_max);
  if (!early.empty()) std::memcpy(bytes_.get(), early.data(), early.size());
}

std::size_t FrameReceiver::receive(std::span<const iovec> buffers) noexcept {
  BufferCursor to(buffers);
  take_held(to);
  if (held_begin_ == held_end_) decode(to);
  for (unsigned refills = 0; !to.is_full() && end_ == End::none; ++refills) {
    // Behind a whole frame nothing need follow: to ask for it would cost each small reply a call.
    const bool has_enough = refills > 0 || (to.filled() > 0 && decoder_.payload_left() == 0);
    if (lower_is_empty_ && has_enough) break;
    if (refills == refills_max || !refill(to)) break;
    decode(to);
  }
  return to.filled();
}

void FrameReceiver::take_held(BufferCursor& to) noexcept {
  while (held_begin_ < held_end_ && !to.is_full()) {
    const std::span<std::byte> front = to.front();
    const std::size_t count = std::min(front.size(), held_end_ - held_begin_);
    std::memcpy(front.data(), bytes_.get() + held_begin_, count);
    held_begin_ += count;
    to.advance(count);
  }
}

// Goes on behind a buffer that is full as long as there are control frames: they need no room.
void FrameReceiver::decode(BufferCursor& to) noexcept {
  std::span<const std::byte> input(bytes_.get() + raw_begin_, raw_end_ - raw_begin_);
  bool goes_on = end_ == End::none;
  while (goes_on) {
    switch (decoder_.decode(input)) {
      case FrameDecoder::Event::payload:
        goes_on = !to.is_full();
        if (goes_on) to.advance(decoder_.copy_payload(input, to.front()));
        break;
      case FrameDecoder::Event::control:
        if (!controls_.control_came(decoder_)) end_ = End::stopped;
        goes_on = end_ == End::none;
        break;
      case FrameDecoder::Event::broken:
        end_ = End::broken;
        goes_on = false;
        break;
      case FrameDecoder::Event::more:
        goes_on = false;
        break;
    }
  }
  raw_begin_ = raw_end_ - input.size();
}

// Everything that was held has been decoded and handed out. False: nothing came.
bool FrameReceiver::refill(BufferCursor& to) noexcept {
  ENSURE(raw_begin_ == raw_end_ && held_begin_ == held_end_);
  held_begin_ = held_end_ = raw_begin_ = raw_end_ = 0;
  std::array<iovec, direct_buffers_max + 1> buffers;
  std::size_t used = 0;
  std::uint64_t left = decoder_.payload_left();
  if (left < direct_min) left = 0;
  std::size_t direct = 0;
  for (BufferCursor at = to; left > 0 && !at.is_full() && used < direct_buffers_max;) {
    const std::size_t count = std::min<std::uint64_t>(left, at.front().size());
    buffers[used++] = {at.front().data(), count};
    at.advance(count);
    direct += count;
    left -= count;
  }
  buffers[used++] = {bytes_.get(), buffer_bytes};
  const ssize_t result = receive_below(std::span(buffers).first(used), direct + buffer_bytes);
  if (result <= 0) return false;
  const auto bytes = static_cast<std::size_t>(result);
  std::size_t in_place = std::min(bytes, direct);
  raw_end_ = bytes - in_place;
  while (in_place > 0) {
    const auto piece = to.front().first(std::min(in_place, to.front().size()));
    decoder_.unmask_in_place(piece);
    to.advance(piece.size());
    in_place -= piece.size();
  }
  return true;
}

ssize_t FrameReceiver::receive_below(std::span<iovec> buffers, std::size_t asked) noexcept {
  const ssize_t result = lower_.receive(buffers);
  if (result == -EAGAIN || result == -EINTR) return -EAGAIN;
  if (result <= 0) {
    end_ = End::below;
    error_below_ = static_cast<int>(-result);
    return result;
  }
  received_ += static_cast<std::uint64_t>(result);
  lower_is_empty_ = static_cast<std::size_t>(result) < asked;
  return result;
}

bool FrameReceiver::look() noexcept {
  decode_in_place();
  if (end_ != End::none) return true;
  if (raw_begin_ == raw_end_) raw_begin_ = raw_end_ = held_end_;
  if (held_begin_ > 0) {
    std::memmove(bytes_.get(), bytes_.get() + held_begin_, raw_end_ - held_begin_);
    held_end_ -= held_begin_;
    raw_begin_ -= held_begin_;
    raw_end_ -= held_begin_;
    held_begin_ = 0;
  }
  if (raw_end_ == buffer_bytes) return false;
  std::array<iovec, 1> room{iovec{bytes_.get() + raw_end_, buffer_bytes - raw_end_}};
  const ssize_t result = receive_below(room, room[0].iov_len);
  if (result <= 0) return true;
  raw_end_ += static_cast<std::size_t>(result);
  decode_in_place();
  return true;
}

void FrameReceiver::decode_in_place() noexcept {
  std::array<iovec, 1> room{iovec{bytes_.get() + held_end_, raw_end_ - held_end_}};
  BufferCursor to(room);
  decode(to);
  held_end_ += to.filled();
}

}  // namespace nbdring::websocket
