#include "backends/websocket/token.hpp"

#include <algorithm>
#include <array>

namespace nbdring {
namespace {

constexpr std::size_t id_bytes = 8;
constexpr std::string_view digits = "0123456789abcdef";

}  // namespace

Token Token::random() {
  std::array<std::byte, id_bytes> bytes{};
  fill_with_random_bytes(bytes);
  Token made{"", Secret::random()};
  for (const std::byte byte : bytes) {
    made.id += digits[std::to_integer<unsigned>(byte) >> 4];
    made.id += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return made;
}

std::string Token::text(char between) const {
  return id + between + encode_base64url(secret.bytes());
}

bool is_token_id(std::string_view text) {
  return text.size() == 2 * id_bytes && std::all_of(text.begin(), text.end(), [](char c) {
           return digits.find(c) != std::string_view::npos;
         });
}

std::optional<Token> parse_token(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !is_token_id(text.substr(0, colon))) return std::nullopt;
  auto bytes = decode_base64url(text.substr(colon + 1));
  if (!bytes || bytes->size() != secret_bytes) return std::nullopt;
  Token token{std::string(text.substr(0, colon)),
              Secret(std::span<const std::byte, secret_bytes>(*bytes))};
  wipe(*bytes);
  return token;
}

}  // namespace nbdring
