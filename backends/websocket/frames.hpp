#pragma once
// The words of a websocket's frame (RFC 6455, 5.2):
//
//   FIN 1 bit, RSV 3 bits, opcode 4 bits | MASK 1 bit, length 7 bits | length 16 or 64 bits if the
//   7 say 126 or 127 | masking key 32 bits if MASK | payload
//
// and of a close frame's payload (5.5.1, 7.4): nothing, or a code of 16 bits and a reason in UTF-8.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace nbdring::websocket {

enum class Opcode : std::uint8_t {
  continuation = 0x0,
  text = 0x1,
  binary = 0x2,
  close = 0x8,
  ping = 0x9,
  pong = 0xa,
};

inline constexpr unsigned fin_bit = 0x80;
inline constexpr unsigned reserved_bits = 0x70;
inline constexpr unsigned opcode_bits = 0x0f;
inline constexpr unsigned control_bit = 0x08;  // of the opcode
inline constexpr unsigned mask_bit = 0x80;     // of the second byte
inline constexpr unsigned length_bits = 0x7f;
inline constexpr unsigned length_16 = 126;
inline constexpr unsigned length_64 = 127;

inline constexpr std::size_t header_max = 14;
inline constexpr std::size_t control_payload_max = 125;
inline constexpr std::size_t control_frame_max = 6 + control_payload_max;
inline constexpr std::size_t reason_max = control_payload_max - 2;

// Close codes (7.4.1).
inline constexpr std::uint16_t close_normal = 1000;
inline constexpr std::uint16_t close_going_away = 1001;
inline constexpr std::uint16_t close_protocol_error = 1002;
inline constexpr std::uint16_t close_unsupported = 1003;   // text: we take binary only
inline constexpr std::uint16_t close_none = 1005;          // never sent: the frame had no code
inline constexpr std::uint16_t close_abnormal = 1006;      // never sent: there was no frame
inline constexpr std::uint16_t close_invalid_data = 1007;  // no UTF-8
inline constexpr std::uint16_t close_policy = 1008;

/// What a peer did wrong: the code to close with, and a clause for the log and the close frame.
struct Violation {
  std::uint16_t code = close_protocol_error;
  std::string_view text;
};

struct CloseFrame {
  std::uint16_t code = close_none;
  std::string_view reason;  // within the payload
};

/// A code that a peer may send: defined by RFC 6455 or registered since (1012 to 1014), or of the
/// ranges for libraries and applications.
bool is_close_code(std::uint16_t code) noexcept;

bool is_utf8(std::span<const std::byte> text) noexcept;

/// As much of the text as fits in so many bytes, cut between two characters.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept;

/// Reads a close frame's payload; the violation if there is one.
std::optional<Violation> parse_close(std::span<const std::byte> payload,
                                     CloseFrame& frame) noexcept;

}  // namespace nbdring::websocket
