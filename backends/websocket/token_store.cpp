#include "backends/websocket/token_store.hpp"

#include <charconv>
#include <mutex>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// How long who lost an answer may come again with the used token. After that only the successor is
// good, and spent lines do not pile up.
constexpr std::chrono::days spent_days{7};

// The byte whose lock says that a use's answer is under way: the id, which is random, is the
// number. 62 bits: an offset in a file has a sign, and byte 0 is the store's own.
std::uint64_t byte_of(const std::string& id) {
  std::uint64_t number = 0;
  std::from_chars(id.data(), id.data() + id.size(), number, 16);
  return (number >> 2) | 1;
}

class StoredRenewal final : public Renewal {
 public:
  StoredRenewal(TokenStore store, std::string spent_id, FileDescriptor answer)
      : store_(std::move(store)), spent_id_(std::move(spent_id)), answer_(std::move(answer)) {}

  void settle() override {
    const std::lock_guard lock(settling_);
    if (!answer_.is_open()) return;
    store_.settle(spent_id_);
    answer_.reset();
  }

 private:
  TokenStore store_;
  std::string spent_id_;
  std::mutex settling_;
  FileDescriptor answer_;
};

}  // namespace

// What a token that is right has found: the line that lets in, and what it says.
struct TokenStore::Found {
  TokenRights rights;
  std::string valid_id;  // the token's own, or its successor's when the answer was lost
};

TokenStore::TokenStore(std::string path, Now now) : files_(std::move(path)), now_(std::move(now)) {}

Day TokenStore::today() const { return std::chrono::floor<std::chrono::days>(now_()); }

TokenLines TokenStore::read() const { return parse_token_lines(files_.read(), files_.path()); }

void TokenStore::write(TokenLines lines) const {
  prune_lines(lines, today());
  files_.replace(format_token_lines(lines));
}

Token TokenStore::create(const TokenRights& rights) const {
  check_rights(rights);
  ENSURE(rights.predecessor.empty());
  const FileDescriptor lock = files_.lock_for_update();
  TokenLines lines = read();
  prune_lines(lines, today());
  if (count_lines(lines, TokenState::valid) >= token_lines_max) {
    throw Failure(FailureKind::busy, files_.path() + " is full: it has " +
                                         std::to_string(token_lines_max) +
                                         " tokens; revoke some with `nbdring token revoke`");
  }
  Token token = Token::random();
  TokenLine line{TokenState::valid, token.id, today(), std::nullopt, {}};
  if (rights.expires) line.expires = std::chrono::floor<std::chrono::days>(*rights.expires);
  seal_rights(line, token.secret, rights);
  add_line(lines, std::move(line));
  write(std::move(lines));
  return token;
}

TokenLines TokenStore::list() const {
  TokenLines lines = read();
  prune_lines(lines, today());
  return lines;
}

bool TokenStore::revoke(const std::string& id) const {
  const FileDescriptor lock = files_.lock_for_update();
  TokenLines lines = list();
  const bool was_valid = remove_line(lines, TokenState::valid, id);
  const bool was_spent = remove_line(lines, TokenState::spent, id);
  if (!was_valid && !was_spent) return false;
  write(std::move(lines));
  return true;
}

std::size_t TokenStore::revoke_all() const {
  const FileDescriptor lock = files_.lock_for_update();
  const std::size_t count = count_lines(list(), TokenState::valid);
  write({});
  return count;
}

void TokenStore::settle(const std::string& spent_id) const {
  const FileDescriptor lock = files_.lock_for_update();
  TokenLines lines = read();
  if (remove_line(lines, TokenState::spent, spent_id)) write(std::move(lines));
}

// One derivation and one decryption for everybody whose secret is wrong: which line that is done
// with must not be told by the time that it takes.
std::variant<TokenStore::Found, TokenRefusal> TokenStore::find(const TokenLines& lines,
                                                               const Token& token,
                                                               const Admits& admits) const {
  Found found{{}, token.id};
  std::optional<TokenRights> rights;
  if (const TokenLine* spent = find_line(lines, TokenState::spent, token.id)) {
    const auto successor = open_successor(*spent, token.secret);
    if (!successor) return TokenRefusal::unknown;
    const TokenLine* valid = find_line(lines, TokenState::valid, successor->id);
    if (valid == nullptr) return TokenRefusal::replayed;
    rights = open_rights(*valid, successor->secret);
    found.valid_id = successor->id;
  } else {
    const TokenLine* valid = find_line(lines, TokenState::valid, token.id);
    rights = open_rights(valid != nullptr ? *valid : line_of_nobody(), token.secret);
  }
  if (!rights) return TokenRefusal::unknown;
  if (rights->expires && now_() >= *rights->expires) return TokenRefusal::expired;
  if (!admits(*rights)) return TokenRefusal::elsewhere;
  found.rights = std::move(*rights);
  return found;
}

std::variant<TokenUse, TokenRefusal> TokenStore::use(const Token& token,
                                                     const Admits& admits) const {
  const auto seen = find(read(), token, admits);
  if (const auto* refusal = std::get_if<TokenRefusal>(&seen)) return *refusal;
  const FileDescriptor lock = files_.lock_for_update();
  TokenLines lines = read();
  const auto looked = find(lines, token, admits);
  if (const auto* refusal = std::get_if<TokenRefusal>(&looked)) return *refusal;
  auto answer = files_.try_lock_byte(byte_of(token.id));
  if (!answer) return TokenRefusal::replayed;
  return replace(std::move(lines), token, std::get<Found>(looked), std::move(*answer));
}

TokenUse TokenStore::replace(TokenLines lines, const Token& token, const Found& found,
                             FileDescriptor answer) const {
  const TokenLine* const used = find_line(lines, TokenState::valid, found.valid_id);
  ENSURE(used != nullptr);
  TokenUse use{found.rights, Token::random(), nullptr};
  TokenLine valid{TokenState::valid, use.next.id, today(), used->expires, {}};
  TokenLine spent{TokenState::spent, token.id, today(), today() + spent_days, {}};
  use.rights.predecessor = token.id;
  seal_rights(valid, use.next.secret, use.rights);
  seal_successor(spent, token.secret, use.next);
  remove_line(lines, TokenState::valid, found.valid_id);
  remove_line(lines, TokenState::spent, token.id);
  remove_line(lines, TokenState::spent, found.rights.predecessor);
  add_line(lines, std::move(valid));
  add_line(lines, std::move(spent));
  write(std::move(lines));
  use.renewal = std::make_shared<StoredRenewal>(*this, token.id, std::move(answer));
  return use;
}

}  // namespace nbdring
