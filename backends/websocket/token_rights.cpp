#include "backends/websocket/token_rights.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::string_view rights_purpose = "nbdring token: rights";
constexpr std::string_view successor_purpose = "nbdring token: successor";
constexpr std::size_t id_bytes = 16;
constexpr std::size_t plain_bytes = 224;
static_assert(8 + 1 + 1 + token_configuration_bytes_max + 1 + token_label_bytes_max + 1 +
                  id_bytes <=
              plain_bytes);

// The sealed bytes while they are in the clear.
class Plain {
 public:
  Plain() = default;
  ~Plain() { wipe(bytes_); }
  Plain(const Plain&) = delete;
  Plain& operator=(const Plain&) = delete;

  void put(std::span<const std::byte> from) {
    ENSURE(at_ + from.size() <= bytes_.size());
    std::copy(from.begin(), from.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ += from.size();
  }
  void put_number(std::int64_t number) { put(std::as_bytes(std::span(&number, 1))); }
  void put_byte(std::size_t value) {
    const auto byte = static_cast<std::byte>(value);
    put(std::span(&byte, 1));
  }
  void put_text(std::string_view text) {
    put_byte(text.size());
    put(std::as_bytes(std::span(text)));
  }

  std::span<const std::byte> take(std::size_t count) {
    ENSURE(at_ + count <= bytes_.size());
    at_ += count;
    return std::span(bytes_).subspan(at_ - count, count);
  }
  std::int64_t take_number() {
    std::int64_t number = 0;
    std::memcpy(&number, take(sizeof(number)).data(), sizeof(number));
    return number;
  }
  std::size_t take_byte() { return std::to_integer<std::size_t>(take(1)[0]); }
  std::string take_text() {
    const auto bytes = take(take_byte());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void seal_into(TokenLine& line, const Secret& secret, std::string_view purpose) const {
    line.sealed = seal(secret, purpose, line.clear_words(), bytes_);
  }
  bool open_from(const TokenLine& line, const Secret& secret, std::string_view purpose) {
    auto opened = open_sealed(secret, purpose, line.clear_words(), line.sealed);
    if (!opened || opened->size() != bytes_.size()) return false;
    std::copy(opened->begin(), opened->end(), bytes_.begin());
    wipe(*opened);
    return true;
  }

 private:
  std::array<std::byte, plain_bytes> bytes_{};
  std::size_t at_ = 0;
};

void check_text(const std::string& what, std::string_view text, std::size_t most) {
  if (text.size() > most) {
    throw Failure(FailureKind::usage, what + ": '" + std::string(text) + "' is longer than " +
                                          std::to_string(most) + " bytes; shorten it");
  }
  const bool is_printable = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != '\x7f';
  });
  if (is_printable) return;
  throw Failure(FailureKind::usage, what + ": has bytes that cannot be printed; leave them out");
}

}  // namespace

void check_rights(const TokenRights& rights) {
  check_text("configuration", rights.configuration, token_configuration_bytes_max);
  check_text("label", rights.label, token_label_bytes_max);
}

void seal_rights(TokenLine& line, const Secret& secret, const TokenRights& rights) {
  Plain plain;
  plain.put_number(rights.expires ? rights.expires->time_since_epoch().count() : 0);
  plain.put_byte(rights.read_only ? 1 : 0);
  plain.put_text(rights.configuration);
  plain.put_text(rights.label);
  plain.put_text(rights.predecessor);
  plain.seal_into(line, secret, rights_purpose);
}

std::optional<TokenRights> open_rights(const TokenLine& line, const Secret& secret) {
  Plain plain;
  if (!plain.open_from(line, secret, rights_purpose)) return std::nullopt;
  TokenRights rights;
  const std::int64_t expires = plain.take_number();
  if (expires != 0) rights.expires = std::chrono::sys_seconds(std::chrono::seconds(expires));
  rights.read_only = plain.take_byte() != 0;
  rights.configuration = plain.take_text();
  rights.label = plain.take_text();
  rights.predecessor = plain.take_text();
  return rights;
}

void seal_successor(TokenLine& line, const Secret& secret, const Token& successor) {
  Plain plain;
  plain.put(std::as_bytes(std::span(successor.id)));
  plain.put(successor.secret.bytes());
  plain.seal_into(line, secret, successor_purpose);
}

std::optional<Token> open_successor(const TokenLine& line, const Secret& secret) {
  Plain plain;
  if (!plain.open_from(line, secret, successor_purpose)) return std::nullopt;
  const auto id = plain.take(id_bytes);
  return Token{std::string(reinterpret_cast<const char*>(id.data()), id.size()),
               Secret(plain.take(secret_bytes).first<secret_bytes>())};
}

TokenLine line_of_nobody() {
  TokenLine line;
  line.id = std::string(id_bytes, '0');
  line.sealed.assign(plain_bytes + seal_overhead_bytes, std::byte{0});
  return line;
}

}  // namespace nbdring
