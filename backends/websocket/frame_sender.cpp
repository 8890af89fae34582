#include "backends/websocket/frame_sender.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring::websocket {
namespace {

constexpr std::size_t message_max = 128 * 1024;
// A ping, a pong and a close frame, and the header of what follows them.
constexpr std::size_t heads_max = 3 * control_frame_max + header_max;
constexpr std::size_t buffers_max = 64;  // in one call to the stream below

std::size_t bytes_in(std::span<const iovec> buffers) {
  std::size_t bytes = 0;
  for (const iovec& buffer : buffers) bytes += buffer.iov_len;
  return bytes;
}

/// Calls use(pointer, count) for the bytes from `skip` on, until it has seen so many or says false.
template <typename Use>
void for_each_piece(std::span<const iovec> buffers, std::size_t skip, std::size_t bytes, Use use) {
  for (const iovec& buffer : buffers) {
    const std::size_t skipped = std::min(skip, buffer.iov_len);
    skip -= skipped;
    const std::size_t count = std::min(buffer.iov_len - skipped, bytes);
    if (count == 0) continue;
    bytes -= count;
    if (!use(static_cast<std::byte*>(buffer.iov_base) + skipped, count)) return;
  }
}

}  // namespace

FrameSender::FrameSender(Stream& lower, WebsocketRole role)
    : lower_(lower),
      masks_(role == WebsocketRole::client),
      encoder_(role),
      capacity_(heads_max + (masks_ ? message_max : 0)),
      bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity_)) {}

void FrameSender::pong(std::span<const std::byte> payload) noexcept {
  ENSURE(payload.size() <= pong_.size());
  if (!payload.empty()) std::memcpy(pong_.data(), payload.data(), payload.size());
  pong_size_ = payload.size();
  wants_pong_ = true;
}

void FrameSender::close(std::uint16_t code, std::string_view reason) noexcept {
  if (said_close()) return;
  close_ = Close::wanted;
  close_code_ = code;
  const std::string_view said = utf8_prefix(reason, reason_max);
  reason_size_ = said.copy(reason_.data(), said.size());
}

ssize_t FrameSender::send(std::span<const iovec> buffers) noexcept {
  return masks_ ? send_masked(buffers) : send_plain(buffers);
}

int FrameSender::push_out() noexcept {
  if (is_in_frame()) return -EAGAIN;
  int result = push_buffer();
  while (result == 0) {
    append_controls();
    if (!has_buffered()) return 0;
    result = push_buffer();
  }
  return result;
}

ssize_t FrameSender::send_plain(std::span<const iovec> buffers) noexcept {
  const std::size_t offered = bytes_in(buffers);
  std::size_t sent = 0;
  int result = 0;
  while (result == 0) {
    if (!is_in_frame()) {
      if (said_close() || sent >= offered) result = push_out();
      if (said_close() && result == 0) result = -EPIPE;
      if (result != 0 || sent >= offered) break;
      result = push_buffer();
      if (result < 0) break;
      append_controls();
      begin_frame(std::min(offered - sent, message_max));
    }
    const ssize_t taken = send_frame(buffers, sent);
    if (taken >= 0) {
      sent += static_cast<std::size_t>(taken);
    } else {
      result = static_cast<int>(taken);
    }
  }
  return sent > 0 ? static_cast<ssize_t>(sent) : result;
}

void FrameSender::begin_frame(std::size_t bytes) noexcept {
  const FrameHeader header = encoder_.begin_message(bytes);
  std::memcpy(bytes_.get() + end_, header.bytes.data(), header.size);
  end_ += header.size;
  frame_left_ = bytes;
}

// The rest of the header, if any, and of the frame's payload: the caller's bytes from `skip` on.
// Bytes of payload that are out, or -errno.
ssize_t FrameSender::send_frame(std::span<const iovec> buffers, std::size_t skip) noexcept {
  std::array<iovec, buffers_max> pieces;
  std::size_t used = 0;
  const std::size_t head = end_ - begin_;
  if (head > 0) pieces[used++] = {bytes_.get() + begin_, head};
  for_each_piece(buffers, skip, frame_left_, [&](std::byte* from, std::size_t count) {
    pieces[used++] = {from, count};
    return used < pieces.size();
  });
  // The caller has no more for now; the frame goes on with its next call.
  if (used == 0) return -EAGAIN;
  const ssize_t result = send_below(std::span(pieces).first(used));
  if (result < 0) return result;
  const auto taken = static_cast<std::size_t>(result);
  const std::size_t of_head = std::min(taken, head);
  begin_ += of_head;
  if (begin_ == end_) begin_ = end_ = 0;
  ENSURE(taken - of_head <= frame_left_);
  frame_left_ -= taken - of_head;
  return static_cast<ssize_t>(taken - of_head);
}

ssize_t FrameSender::send_masked(std::span<const iovec> buffers) noexcept {
  const std::size_t offered = bytes_in(buffers);
  std::size_t sent = 0;
  int result = push_buffer();
  while (result == 0) {
    sent += std::exchange(unreported_, 0);
    append_controls();
    const bool is_over = said_close() || sent >= offered;
    if (!is_over) append_masked(buffers, sent, std::min(offered - sent, message_max));
    result = push_buffer();
    if (is_over) break;
  }
  if (result == 0 && said_close() && sent < offered) result = -EPIPE;
  return sent > 0 ? static_cast<ssize_t>(sent) : result;
}

void FrameSender::append_masked(std::span<const iovec> buffers, std::size_t skip,
                                std::size_t bytes) noexcept {
  const FrameHeader header = encoder_.begin_message(bytes);
  std::memcpy(bytes_.get() + end_, header.bytes.data(), header.size);
  end_ += header.size;
  for_each_piece(buffers, skip, bytes, [this](const std::byte* from, std::size_t count) {
    encoder_.mask().copy(bytes_.get() + end_, from, count);
    end_ += count;
    return true;
  });
  unreported_ = bytes;
}

// Between two frames, into the empty buffer.
void FrameSender::append_controls() noexcept {
  ENSURE(!has_buffered() && !is_in_frame());
  if (close_ == Close::written) return;
  if (std::exchange(wants_pong_, false)) {
    encoder_.pong(std::span(pong_).first(pong_size_), buffer(), end_);
  }
  if (std::exchange(wants_ping_, false)) encoder_.ping({}, buffer(), end_);
  if (close_ == Close::wanted) {
    encoder_.close(close_code_, {reason_.data(), reason_size_}, buffer(), end_);
    close_ = Close::written;
  }
}

int FrameSender::push_buffer() noexcept {
  while (has_buffered()) {
    std::array<iovec, 1> piece{iovec{bytes_.get() + begin_, end_ - begin_}};
    const ssize_t taken = send_below(piece);
    if (taken < 0) return static_cast<int>(taken);
    begin_ += static_cast<std::size_t>(taken);
  }
  begin_ = end_ = 0;
  return 0;
}

ssize_t FrameSender::send_below(std::span<iovec> buffers) noexcept {
  ssize_t result = -EINTR;
  while (result == -EINTR) result = lower_.send(buffers);
  if (result == -EAGAIN) was_full_ = true;
  if (result > 0 && std::exchange(was_full_, false)) ++drained_;
  return result;
}

}  // namespace nbdring::websocket
