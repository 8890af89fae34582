#pragma once
// A websocket's frames, out of bytes that come in any pieces. Pure: no I/O, no allocation. Payload
// is never assembled: the decoder says how much of it lies in front, and copies it, unmasked on the
// way, to where the caller wants it; control frames, which are at most 125 bytes, it hands over
// whole, between the pieces of a message as they may come.
//
//   for (;;) switch (decoder.decode(input)) {       input: takes what it used off the front
//     case payload: input and decoder.copy_payload(input, to), until one of them is used up
//     case control: decoder.opcode(), decoder.control()
//     case more:    input is used up
//     case broken:  decoder.violation(); it stays so
//   }
//
// It accepts what we have agreed to and nothing else: no extension, binary messages, a mask exactly
// from a client, lengths in their shortest form.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/websocket/frames.hpp"
#include "backends/websocket/mask.hpp"
#include "backends/websocket/role.hpp"

namespace nbdring::websocket {

class FrameDecoder {
 public:
  enum class Event : std::uint8_t { more, payload, control, broken };

  /// role: ours. A server's peer masks.
  explicit FrameDecoder(WebsocketRole role) : wants_mask_(role == WebsocketRole::server) {}

  Event decode(std::span<const std::byte>& input) noexcept;

  /// Of the data frame under way, what has not come yet.
  std::uint64_t payload_left() const { return state_ == State::payload ? left_ : 0; }

  /// Payload from the front of the input, as much as there is and `to` takes; it may lie before the
  /// input in the same memory. Bytes.
  std::size_t copy_payload(std::span<const std::byte>& input, std::span<std::byte> to) noexcept;
  /// Payload that somebody has received to where it belongs: unmasks it there.
  void unmask_in_place(std::span<std::byte> payload) noexcept;

  Opcode opcode() const { return opcode_; }
  /// A control frame's payload, until the next call.
  std::span<const std::byte> control() const { return {control_.data(), control_used_}; }
  /// A close frame's, which has been checked.
  const CloseFrame& close() const { return close_; }
  const Violation& violation() const { return violation_; }

 private:
  enum class State : std::uint8_t { header, payload, control, broken };

  Event begin_frame() noexcept;
  bool check_start() noexcept;
  bool read_length() noexcept;
  std::size_t header_wanted() const noexcept;
  Event take_control(std::span<const std::byte>& input) noexcept;
  Event end_control() noexcept;
  Event broken(std::uint16_t code, std::string_view text) noexcept;
  void advance(std::size_t bytes) noexcept;

  const bool wants_mask_;
  State state_ = State::header;
  bool in_message_ = false;  // its last fragment has not begun
  bool is_final_ = false;
  Opcode opcode_ = Opcode::continuation;
  std::uint64_t left_ = 0;  // of the payload
  Mask mask_;

  std::array<std::byte, header_max> header_;
  std::size_t header_used_ = 0;
  std::array<std::byte, control_payload_max> control_;
  std::size_t control_used_ = 0;
  CloseFrame close_;
  Violation violation_;
};

}  // namespace nbdring::websocket
