#pragma once
// The receiving half of a websocket: takes bytes from the stream below with few calls, hands out
// payload, and shows control frames to the other half. Only for backends/websocket/stream.
//
// One call fills, while a large frame is under way, first the caller's buffers with the rest of its
// payload, which is unmasked where it lies, and behind them a buffer of our own with what follows.
// Everything else is copied from there and unmasked on the way.
//
// The buffer: payload that look() has taken in lies in front, decoded; raw bytes follow. Decoding
// into the same buffer only moves bytes to the front, so look() needs no memory.
//
// One loop's thread; nothing is allocated after the constructor.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backends/websocket/frame_decoder.hpp"
#include "client/transport/stream.hpp"

namespace nbdring::websocket {

/// A place in a list of buffers that are being filled.
class BufferCursor {
 public:
  explicit BufferCursor(std::span<const iovec> buffers) : buffers_(buffers) { skip_filled(); }

  bool is_full() const { return buffers_.empty(); }
  /// The rest of the buffer that is being filled.
  std::span<std::byte> front() const {
    return {static_cast<std::byte*>(buffers_[0].iov_base) + offset_, buffers_[0].iov_len - offset_};
  }
  /// Within front().
  void advance(std::size_t bytes);
  std::size_t filled() const { return filled_; }

 private:
  void skip_filled();

  std::span<const iovec> buffers_;
  std::size_t offset_ = 0;
  std::size_t filled_ = 0;
};

/// Who is shown control frames.
class ControlFrames {
 public:
  virtual ~ControlFrames() = default;
  /// Its opcode, payload and close frame are the decoder's. False: nothing after it is decoded.
  virtual bool control_came(const FrameDecoder& decoder) noexcept = 0;
};

class FrameReceiver {
 public:
  enum class End : std::uint8_t {
    none,
    stopped,  // control_came() said so
    broken,   // violation()
    below,    // the stream below has ended or failed: error_below()
  };

  FrameReceiver(Stream& lower, WebsocketRole role, std::span<const std::byte> early,
                ControlFrames& controls);

  /// Payload into the buffers; bytes. None: nothing is there, or it has ended.
  std::size_t receive(std::span<const iovec> buffers) noexcept;
  /// Takes in what is there, as far as there is room. False: there is no room.
  bool look() noexcept;
  /// Drops the payload that look() took in.
  void discard() noexcept { held_begin_ = held_end_ = 0; }

  /// Has something for receive() without asking below.
  bool holds_received() const { return held_begin_ < held_end_ || has_raw(); }
  End end() const { return end_; }
  const Violation& violation() const { return decoder_.violation(); }
  int error_below() const { return error_below_; }  // errno; 0: its end
  std::uint64_t received() const { return received_; }

 private:
  bool has_raw() const { return end_ == End::none && raw_begin_ < raw_end_; }
  void decode(BufferCursor& to) noexcept;
  void take_held(BufferCursor& to) noexcept;
  bool refill(BufferCursor& to) noexcept;
  void decode_in_place() noexcept;
  ssize_t receive_below(std::span<iovec> buffers, std::size_t asked) noexcept;

  Stream& lower_;
  ControlFrames& controls_;
  FrameDecoder decoder_;
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t held_begin_ = 0;
  std::size_t held_end_ = 0;
  std::size_t raw_begin_ = 0;  // at or behind held_end_
  std::size_t raw_end_ = 0;
  bool lower_is_empty_ = false;  // it gave less than was asked for, the last time
  std::uint64_t received_ = 0;   // bytes from below
  End end_ = End::none;
  int error_below_ = 0;
};

}  // namespace nbdring::websocket
