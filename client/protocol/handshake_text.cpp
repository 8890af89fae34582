#include "client/protocol/handshake_text.hpp"

#include <cstdint>

namespace nbdring {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0: no valid UTF-8
};

Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool is_overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  if (is_overlong || is_surrogate || code > 0x10ffff) return {};
  return {code, bytes};
}

bool is_shown(std::uint32_t code) {
  if (code < 0x20 || (code >= 0x7f && code <= 0xa0)) return false;    // controls
  if (code == 0xad || code == 0x61c || code == 0xfeff) return false;  // invisible
  if (code >= 0x200b && code <= 0x200f) return false;                 // widths, directions
  if (code >= 0x2028 && code <= 0x202e) return false;                 // lines, directions
  if (code >= 0x2060 && code <= 0x206f) return false;                 // joiners, directions
  return code < 0xe0000;                                              // tags, private use
}

}  // namespace

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string shown;
  while (!text.empty()) {
    const Character character = first_character(text);
    const bool stays = character.bytes > 0 && is_shown(character.code);
    const std::size_t bytes = character.bytes > 0 ? character.bytes : 1;
    const std::string_view piece = stays ? text.substr(0, bytes) : std::string_view("?");
    if (shown.size() + piece.size() > bytes_max) return shown + "...";
    shown += piece;
    text.remove_prefix(bytes);
  }
  return shown;
}

}  // namespace nbdring
