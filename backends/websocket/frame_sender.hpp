#pragma once
// The sending half of a websocket. Only for backends/websocket/stream.
//
// A server's payload is never copied: a frame's header and the caller's buffers go out with one
// call. A client's is masked into a buffer of our own, a frame at a time. A frame is a message and
// holds at most 128 KiB: peers exist that refuse messages longer than an NBD reply of that size.
//
// Once the stream below has been offered bytes it may hold them already (Stream::send()), so what
// was offered stays first and stays the same: the size of a frame that has begun is fixed, and
// control frames wait until it is out. Of pongs the latest is sent.
//
// One loop's thread; nothing is allocated after the constructor.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "backends/websocket/frame_encoder.hpp"
#include "client/transport/stream.hpp"

namespace nbdring::websocket {

class FrameSender {
 public:
  FrameSender(Stream& lower, WebsocketRole role);

  /// As Stream::send(); -EPIPE once close() was called and the frame under way is out.
  ssize_t send(std::span<const iovec> buffers) noexcept;

  void ping() noexcept { wants_ping_ = true; }
  void pong(std::span<const std::byte> payload) noexcept;
  /// The last frame; only the first call counts.
  void close(std::uint16_t code, std::string_view reason) noexcept;
  bool said_close() const { return close_ != Close::none; }

  /// Sends what may go before the next payload: 0 when nothing is left, -EAGAIN or -errno.
  int push_out() noexcept;

  /// A frame has begun that only send() can end.
  bool is_in_frame() const { return frame_left_ > 0; }
  /// How often the stream below has taken bytes after it was full: the peer has taken some.
  std::uint64_t drained() const { return drained_; }

 private:
  enum class Close : std::uint8_t { none, wanted, written };

  ssize_t send_plain(std::span<const iovec> buffers) noexcept;
  ssize_t send_masked(std::span<const iovec> buffers) noexcept;
  ssize_t send_frame(std::span<const iovec> buffers, std::size_t skip) noexcept;
  void begin_frame(std::size_t bytes) noexcept;
  void append_masked(std::span<const iovec> buffers, std::size_t skip, std::size_t bytes) noexcept;
  void append_controls() noexcept;
  ssize_t send_below(std::span<iovec> buffers) noexcept;
  int push_buffer() noexcept;
  bool has_buffered() const { return begin_ < end_; }
  std::span<std::byte> buffer() { return {bytes_.get(), capacity_}; }

  Stream& lower_;
  const bool masks_;
  FrameEncoder encoder_;
  const std::size_t capacity_;
  std::unique_ptr<std::byte[]> bytes_;  // control frames, headers; a client's payload
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t frame_left_ = 0;  // a server's: payload of the frame that has begun
  std::size_t unreported_ = 0;  // a client's: payload in the buffer, or out and not yet reported

  bool wants_ping_ = false;
  bool wants_pong_ = false;
  std::size_t pong_size_ = 0;
  std::array<std::byte, control_payload_max> pong_;
  Close close_ = Close::none;
  std::uint16_t close_code_ = close_none;
  std::size_t reason_size_ = 0;
  std::array<char, reason_max> reason_;
  bool was_full_ = false;
  std::uint64_t drained_ = 0;
};

}  // namespace nbdring::websocket
