#pragma once
// Websocket frames by hand, byte by byte as RFC 6455 draws them and wrong where a test says so; and
// a reader that takes whole frames apart in the plainest way. Neither shares anything with the
// codec.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace nbdring {

using WireBytes = std::vector<std::byte>;

inline WireBytes wire_text(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

struct WireFrame {
  unsigned opcode = 2;
  WireBytes payload;
  bool fin = true;
  bool masked = true;
  std::array<std::uint8_t, 4> key{0x37, 0xfa, 0x21, 0x3d};
  unsigned reserved = 0;                        // RSV1 to RSV3, 4 to 1
  unsigned length_form = 0;                     // 0: the shortest; 1, 2, 3: in 7, 16, 64 bits
  std::optional<std::uint64_t> length_claimed;  // instead of the payload's
};

inline WireBytes wire_frame(const WireFrame& frame) {
  const std::uint64_t length = frame.length_claimed.value_or(frame.payload.size());
  unsigned form = frame.length_form;
  if (form == 0) form = length <= 125 ? 1 : length <= 0xffff ? 2 : 3;
  WireBytes bytes;
  const auto put = [&bytes](std::uint64_t value) {
    bytes.push_back(static_cast<std::byte>(value));
  };
  put((frame.fin ? 0x80U : 0U) | frame.reserved << 4 | frame.opcode);
  const unsigned mask = frame.masked ? 0x80 : 0;
  put(mask | (form == 1 ? static_cast<unsigned>(length) : form == 2 ? 126U : 127U));
  if (form == 2) put(length >> 8), put(length);
  if (form == 3) {
    for (int shift = 56; shift >= 0; shift -= 8) put(length >> shift);
  }
  if (frame.masked) {
    for (const std::uint8_t byte : frame.key) put(byte);
  }
  for (std::size_t i = 0; i < frame.payload.size(); ++i) {
    const unsigned key = frame.masked ? frame.key[i % 4] : 0;
    put(std::to_integer<unsigned>(frame.payload[i]) ^ key);
  }
  return bytes;
}

inline WireBytes wire_close(std::uint16_t code, std::string_view reason, bool masked) {
  WireFrame frame;
  frame.opcode = 8;
  frame.masked = masked;
  frame.payload = {static_cast<std::byte>(code >> 8), static_cast<std::byte>(code)};
  for (const char c : reason) frame.payload.push_back(static_cast<std::byte>(c));
  return wire_frame(frame);
}

/// The first whole frame of the bytes, unmasked, and takes it off; none: it is not all there.
inline std::optional<WireFrame> take_wire_frame(WireBytes& bytes) {
  const auto at = [&bytes](std::size_t i) { return std::to_integer<std::uint64_t>(bytes[i]); };
  if (bytes.size() < 2) return std::nullopt;
  WireFrame frame;
  frame.fin = (at(0) & 0x80) != 0;
  frame.reserved = static_cast<unsigned>(at(0) >> 4 & 7);
  frame.opcode = static_cast<unsigned>(at(0) & 0xf);
  frame.masked = (at(1) & 0x80) != 0;
  std::uint64_t length = at(1) & 0x7f;
  const std::size_t field = length == 126 ? 2 : length == 127 ? 8 : 0;
  const std::size_t header = 2 + field + (frame.masked ? 4 : 0);
  if (bytes.size() < header) return std::nullopt;
  if (field > 0) length = 0;
  for (std::size_t i = 0; i < field; ++i) length = length << 8 | at(2 + i);
  if (bytes.size() - header < length) return std::nullopt;
  for (std::size_t i = 0; frame.masked && i < 4; ++i) {
    frame.key[i] = static_cast<std::uint8_t>(at(2 + field + i));
  }
  for (std::size_t i = 0; i < length; ++i) {
    const unsigned key = frame.masked ? frame.key[i % 4] : 0;
    frame.payload.push_back(static_cast<std::byte>(at(header + i) ^ key));
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header + length));
  return frame;
}

}  // namespace nbdring
