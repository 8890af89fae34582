#include "backends/websocket/frames.hpp"

#include <algorithm>

#include "client/protocol/bytes.hpp"

namespace nbdring::websocket {
namespace {

/// How many bytes a character takes that begins so, and the limits of its second byte (Unicode,
/// table 3-7: no overlong form, no surrogate, nothing above U+10FFFF). 0: no character begins so.
struct Character {
  std::size_t bytes = 0;
  unsigned second_min = 0x80;
  unsigned second_max = 0xbf;
};

Character character_of(unsigned first) {
  if (first < 0x80) return {1};
  if (first < 0xc2) return {};
  if (first < 0xe0) return {2};
  if (first == 0xe0) return {3, 0xa0, 0xbf};
  if (first == 0xed) return {3, 0x80, 0x9f};
  if (first < 0xf0) return {3};
  if (first == 0xf0) return {4, 0x90, 0xbf};
  if (first < 0xf4) return {4};
  if (first == 0xf4) return {4, 0x80, 0x8f};
  return {};
}

bool is_follower(std::byte byte) { return (byte & std::byte{0xc0}) == std::byte{0x80}; }

}  // namespace

bool is_close_code(std::uint16_t code) noexcept {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

bool is_utf8(std::span<const std::byte> text) noexcept {
  while (!text.empty()) {
    const Character character = character_of(std::to_integer<unsigned>(text[0]));
    if (character.bytes == 0 || character.bytes > text.size()) return false;
    if (character.bytes > 1) {
      const auto second = std::to_integer<unsigned>(text[1]);
      if (second < character.second_min || second > character.second_max) return false;
      const auto rest = text.first(character.bytes).subspan(2);
      if (!std::all_of(rest.begin(), rest.end(), is_follower)) return false;
    }
    text = text.subspan(character.bytes);
  }
  return true;
}

std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && is_follower(static_cast<std::byte>(text[end]))) --end;
  return text.substr(0, end);
}

std::optional<Violation> parse_close(std::span<const std::byte> payload,
                                     CloseFrame& frame) noexcept {
  frame = CloseFrame();
  if (payload.empty()) return std::nullopt;
  if (payload.size() == 1) return Violation{close_protocol_error, "a close frame of one byte"};
  frame.code = read_struct<Be16>(payload);
  if (!is_close_code(frame.code)) {
    return Violation{close_protocol_error, "a close code that nobody may send"};
  }
  const auto reason = payload.subspan(sizeof(Be16));
  if (!is_utf8(reason)) return Violation{close_invalid_data, "a close reason that is no UTF-8"};
  frame.reason = {reinterpret_cast<const char*>(reason.data()), reason.size()};
  return std::nullopt;
}

}  // namespace nbdring::websocket
