#pragma once
// The keys of the sessions that live: who has been let in once comes again with the session's key,
// for more connections and after a lost one, while the token that let him in is long used up.
//
// A session is made for a grant, is bound to that grant's configuration, and dies
//   - by end(), at once;
//   - when nobody came with the key within `arrival` of the grant;
//   - `grace` after its last connection was detached.
// A key is 256 bits at random and lives in memory only: a restart of the gateway ends them all, and
// peers come back with their next token.
//
// The session keeps the token's Renewal until the peer has proven that the answer with the
// successor has reached it: by coming with the key (find), or by serving NBD (confirm). A session
// that ends without lets the used token be good again: an answer that was lost locks nobody out.
//
// Any thread. Time is looked at when somebody asks; there is no thread and no timer.

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/websocket/authenticator.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

class LiveSessions {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    std::chrono::seconds arrival{60};
    std::chrono::seconds grace{60};
    std::size_t sessions_max = 1024;  // beyond it the oldest that nobody is connected to goes
    std::function<Clock::time_point()> now = [] { return Clock::now(); };
  };

  LiveSessions(Options options, Log& log);

  /// Makes a session for the grant and puts its key into it. Throws Failure (busy) when there are
  /// sessions_max, all connected.
  void begin(Grant& grant);

  /// The grant again, for whoever comes with the key (without next_token); nothing when no such
  /// session lives. Confirms it: may write a file.
  std::optional<Grant> find(std::string_view key);

  /// Whether the session lives; confirms nothing, costs nothing: for any thread.
  bool is_live(std::string_view key);

  /// A websocket counts for the session from now on, until detach(). False: it lives no more, and
  /// nothing counts. Never waits for a file.
  bool attach(std::string_view key);
  void detach(std::string_view key);

  /// The peer has the answer: it has been heard after it. Once is enough, more do no harm. Writes a
  /// file: not on a loop's thread. What fails is logged; the used token stays refused all the same
  /// while this process lives.
  void confirm(std::string_view key);

  /// The session is over: its key is worth nothing from now on.
  void end(std::string_view key);
  /// The same for every session of a configuration that somebody has been connected to: its device
  /// is gone. Who has just been granted the next one stays.
  void end_all(const std::string& configuration);

  std::size_t count();

 private:
  struct Session {
    std::string key;
    Grant grant;  // as find() gives it
    std::shared_ptr<Renewal> renewal;
    unsigned connections = 0;
    bool was_attached = false;
    Clock::time_point ends;  // while there are no connections
  };

  // Destroyed without the lock, which is why it stands above the lock where both are locals: what
  // is destroyed may close a file.
  using Dropped = std::vector<std::shared_ptr<Renewal>>;

  // All with the lock held.
  Session* find_locked(std::string_view key);
  Dropped drop_stale();
  std::shared_ptr<Renewal> make_room();

  template <typename Condition>
  Dropped drop_if(const Condition& condition) {
    Dropped dropped;
    std::erase_if(sessions_, [&](Session& session) {
      if (!condition(session)) return false;
      dropped.push_back(std::move(session.renewal));
      return true;
    });
    return dropped;
  }

  Options options_;
  Log& log_;
  std::mutex sessions_lock_;       // held for memory only, never while a file is written
  std::vector<Session> sessions_;  // in the order of their beginning
};

}  // namespace nbdring
