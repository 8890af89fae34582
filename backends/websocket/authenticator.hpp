#pragma once
// Who may have what: one seam, several ways (authenticator_kinds.hpp), the first that grants wins
// (authenticator_chain.hpp).
//
// Three answers, kept apart: granted; denied, which is everyday life (HTTP 401 without a
// credential, 403 with one, "access denied" and never why; a line at info level); and failed, a
// Failure that is thrown (the store cannot be read; HTTP 500; a line at error level).
//
// next() reads and writes files with fsync: it is called on a thread that may wait, never on a
// loop's. Any thread, several at once.

#include <memory>
#include <string>
#include <variant>

#include "client/transport/tls.hpp"

namespace nbdring {

/// What a peer has shown. All of it is the peer's word, but what TLS found out.
struct Presented {
  std::string token;          // "id:secret"; empty: none
  std::string configuration;  // that the path named; empty: none in particular
  std::string session;        // a live session's key; empty: none
  TlsReport tls;              // empty without TLS
  bool is_encrypted = false;
  std::string peer;  // its address, for the log

  bool has_credential() const { return !token.empty() || !session.empty(); }
};

/// A token's use whose answer may yet be lost (token_store.hpp, "Crashes"). Destroyed without
/// settle(): the used token is good again for its holder.
class Renewal {
 public:
  virtual ~Renewal() = default;
  /// The successor has arrived: the used token is dead for ever. Any thread,
  /// more than once does no harm. Writes a file; throws Failure.
  virtual void settle() = 0;
};

struct Grant {
  std::string configuration;
  std::string who;          // for the log and for hooks: one line of printable text
  std::string next_token;   // the used token's successor, "id:secret"; empty: none
  std::string session_key;  // admits this peer again while its session lives (live_sessions.hpp)
  bool read_only = false;   // whoever this is may not write, whatever the configuration says
  std::shared_ptr<Renewal> renewal;  // from the method to the live session; nobody else's
};

struct Denied {};

using Verdict = std::variant<Grant, Denied>;

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  virtual Verdict next(const Presented& presented) = 0;
};

}  // namespace nbdring
