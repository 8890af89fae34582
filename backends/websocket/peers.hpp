#pragma once
// What has arrived for one session of the gateway: websockets that a peer has opened to us, each
// with an NBD server at its far end. A remote backend takes its connections from here instead of
// dialling (peer_endpoint.hpp), and everything above it is as with any other server.
//
//   listener's loop          any lane's loop
//   offer() ---- waiting ----> take() ----> PeerStream, until its end
//
// A connection waits on the listener's loop, where it is listened to: its greeting is kept, its end
// is seen at once. When a lane wants one, the newest goes over to that lane's loop; when there is
// none, the lane waits, and the next arrival goes to it directly. Both by message, nobody polls.
//
// A peer that returns. Its old connections may still look alive: a machine that left the network
// says nothing. So each arrival has the older ones pinged at once; who does not answer within
// `answer_time` is dead, and its lane comes here again. The newest first, for the same reason.
//
// A peer keeps as many connections open as it said (PeerInfo::connections); one that said nothing
// has a single one, and another is refused as long as that one answers (makes_room()).
//
// How it ends. A close frame with 1000, or without a code, in which the peer was the first, is an
// eject: the session is over. Any other end is an absence, from which a peer may come back. All of
// it is told by standing(), with a wake-up of the watch.
//
// Any thread, a lock inside; taken when a connection comes, goes over, is pinged or ends, never per
// request. Kept alive by everybody who has a part in it.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backends/websocket/http_head.hpp"
#include "backends/websocket/stream.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

/// The listener's part in a connection, which ends with it.
class PeerPlace {
 public:
  virtual ~PeerPlace() = default;
  /// The first bytes of the peer have come over the websocket: it has our answer. Once; any thread;
  /// waits for nothing.
  virtual void heard() noexcept = 0;
};

/// Of one connection, as the listener found it.
struct PeerInfo {
  std::string address;               // printable: "192.0.2.1", "a Unix socket"
  std::string who;                   // printable: whom the authenticator let in; may be empty
  std::string image;                 // the peer's name of what it serves; empty: it gave none
  unsigned connections = 1;          // that the peer keeps open at once
  bool is_private = false;           // TLS, or from this machine
  int socket = -1;                   // below the stream: what to cancel waits on
  std::shared_ptr<PeerPlace> place;  // may be null
};

struct PeersOptions {
  std::string name = "the peer";  // for messages: "the peer of configuration '0'"
  /// Websockets that wait, at most; a further one takes the oldest one's place.
  std::size_t waiting_max = 16;
  /// For an answer to the ping that an arrival causes.
  std::chrono::milliseconds answer_time{3'000};
  /// How long a lane waits for a further connection while the peer has others here.
  std::chrono::milliseconds further_time{5'000};
  /// The same while it has all here that it said it keeps: a server that has no more to give.
  std::chrono::milliseconds full_time{500};
  /// How long a lane waits while there is no peer, before it asks again.
  std::chrono::milliseconds away_time{60'000};
};

/// What there is to know of the peer now.
struct PeersStanding {
  bool has_come = false;     // ever
  bool was_ejected = false;  // said on one connection, for all; the others may serve on meanwhile
  std::optional<Clock::time_point> away_since;  // it has come, and no connection is left
  Clock::time_point here_since;                 // since it came, or came back
  unsigned connections = 0;                     // that are here, waiting or in use
  std::uint64_t returns = 0;                    // how often it came back after an absence
  std::uint64_t replaced = 0;  // connections that did not answer when the peer returned
  std::string address;         // of the newest connection, as the next
  std::string who;
};

class PeerStream;

class Peers : public std::enable_shared_from_this<Peers> {
 public:
  /// Who is told that standing() has changed. Any thread, under the lock: it only posts.
  class Watch {
   public:
    virtual ~Watch() = default;
    virtual void peers_changed() noexcept = 0;
  };

  static std::shared_ptr<Peers> make(const PeersOptions& options);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  /// Null: nobody, from here on.
  void set_watch(Watch* watch);
  PeersStanding standing() const;
  /// How many the peer keeps open: what it said when it came.
  unsigned connections() const;
  const PeersOptions& options() const { return options_; }

  // --- the listener's loop, always the same ---

  /// Why this one may not come (409): it serves another image, or the session is over.
  std::optional<HttpError> objection(const PeerInfo& info) const;
  /// False: the peer is one of a single connection, and that one answers.
  Task<bool> makes_room(Loop& loop);
  /// Ends when the connection has gone over to a lane, or has ended. The loop is the stream's.
  Task<void> offer(Loop& loop, std::unique_ptr<WebsocketStream> stream, PeerInfo info);

  // --- a lane's loop ---

  /// The next connection. Throws Failure (unreachable) at the deadline, after close(), and after
  /// further_time or full_time while the peer has others here.
  Task<std::unique_ptr<PeerStream>> take(Loop& loop, Clock::time_point deadline);

  // --- the session; any thread ---

  /// What every close frame says from here on; before, 1000 "not needed any more".
  void set_close(std::uint16_t code, std::string reason);
  /// The server cannot do with more than one connection (no CAN_MULTI_CONN): the others are closed,
  /// and no further one comes as long as one answers.
  void set_single();
  /// Ends all waits, closes all connections, lets nobody in any more.
  void close(std::uint16_t code, std::string reason);

 private:
  friend class PeerStream;
  class Arrival;
  class Wait;

  explicit Peers(const PeersOptions& options);

  // Each takes the lock.
  bool enter(Arrival& arrival);
  void leave(Arrival& arrival);
  Clock::time_point until(Clock::time_point deadline) const;
  void begin_wait(Wait& wait);
  bool begin_vacancy(Wait& wait);
  void begin_use(PeerStream& stream);
  void end_use(PeerStream& stream, bool was_eject, bool was_silent);

  // Under the lock.
  void note_arrival(const PeerInfo& info);
  void connection_ended(bool was_eject);
  void match();
  Arrival* newest_free() const;
  void dismiss_waiting(std::size_t kept);
  void ping_all();
  static void end_waits(std::list<Wait*>& waits);
  bool is_single() const { return single_ || connections_ == 1; }
  void tell();

  const PeersOptions options_;

  mutable std::mutex lock_;  // guards everything below
  Watch* watch_ = nullptr;
  PeersStanding standing_;
  std::list<Arrival*> waiting_;  // oldest first
  std::list<Wait*> waits_;       // for the next one, oldest first
  std::list<Wait*> vacancies_;   // for the end of the last one
  std::list<PeerStream*> in_use_;
  std::string image_;
  unsigned connections_ = 1;
  bool single_ = false;
  bool closed_ = false;
  std::uint16_t close_code_ = 1000;
  std::string close_reason_ = "not needed any more";
};

}  // namespace nbdring
