#pragma once
// One-time tokens on disk: each opens one destination, once, and is followed by another.
//
// Using a token. The secret opens the token's line: that is the proof. Then, in one step, the line
// goes and the successor's comes (another id, another secret, the same rights and expiry): one file
// replaces the other (token_files.hpp), under a lock that all processes share. Of two who come with
// one token at once, one gets in.
//
// Refusals are alike: an unknown id costs the same derivation and the same decryption as a wrong
// secret, and both end in the same answer. Wrong secrets never take the lock and never write.
//
// Crashes. There is one entry that lets anybody in, before, during and after a use: the token's
// line until the rename, the successor's from then on. But whose use was cut short after the
// rename never saw the successor, and would be locked out. So the rename also leaves a "spent" line
// under the used token's id: the successor, sealed under the used token's secret. Who comes with
// the used token
//   - while the process that took it lives and has not settled: is refused, it is a replay. The
//     process holds a lock on a byte of its own for that; locks end with their process;
//   - after it has settled (Renewal::settle(): the peer is known to have the successor, and the
//     spent line goes): is refused, there is nothing of it left;
//   - after it died, or gave up, without settling: uses the successor's line by it. So the one use
//     that is left can be taken by the used token or by its successor, if that did arrive:
//     whichever comes first ends the other.
// Coming with the successor proves that it arrived: it ends the spent line as well.
//
// In the clear are ids, days and how many lines there are (token_lines.hpp); the destination, the
// label and who follows whom are sealed. Whoever restores an old copy of the file makes the tokens
// of that day good again.
//
// Stateless but for its path: any thread, several at once, any number of processes.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "backends/websocket/authenticator.hpp"
#include "backends/websocket/token.hpp"
#include "backends/websocket/token_files.hpp"
#include "backends/websocket/token_lines.hpp"
#include "backends/websocket/token_rights.hpp"

namespace nbdring {

inline constexpr const char* default_token_store = "/var/lib/nbdring/tokens";

/// Why a token did not let its holder in. For the log only, never for the peer.
enum class TokenRefusal {
  unknown,    // no such id, a wrong secret, or used long ago: which of them is not looked for
  replayed,   // used a moment ago
  expired,    // the right secret, too late
  elsewhere,  // the right secret, for something else; it is not used up
};

struct TokenUse {
  TokenRights rights;
  Token next;
  std::shared_ptr<Renewal> renewal;
};

class TokenStore {
 public:
  using SystemClock = std::chrono::system_clock;
  using Now = std::function<SystemClock::time_point()>;

  explicit TokenStore(
      std::string path, Now now = [] { return SystemClock::now(); });

  /// Throws Failure when there is a store and it cannot be used.
  void check() const { read(); }

  /// Throws Failure: usage when the rights are none, refused when others can get at the store, busy
  /// when it is full, failed when it cannot be written. So do the others.
  Token create(const TokenRights& rights) const;

  /// Every line that has not expired, in the order of their ids.
  TokenLines list() const;

  /// Whether there was one. Sessions that live go on.
  bool revoke(const std::string& id) const;
  /// How many tokens there were.
  std::size_t revoke_all() const;

  using Admits = std::function<bool(const TokenRights&)>;
  /// admits: asked once the secret has proven right and before the token is used up.
  std::variant<TokenUse, TokenRefusal> use(const Token& token, const Admits& admits) const;

  /// For Renewal: the spent line goes.
  void settle(const std::string& spent_id) const;

 private:
  struct Found;

  TokenLines read() const;
  void write(TokenLines lines) const;
  std::variant<Found, TokenRefusal> find(const TokenLines& lines, const Token& token,
                                         const Admits& admits) const;
  TokenUse replace(TokenLines lines, const Token& token, const Found& found,
                   FileDescriptor answer) const;
  Day today() const;

  TokenFiles files_;
  Now now_;
};

}  // namespace nbdring
