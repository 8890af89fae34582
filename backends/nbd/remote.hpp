#pragma once
// What the members of one device (its lanes' connections) and its keeper know together: who is
// connected, what is acknowledged, what is durable, and whether the server is there.
//
// The problem. A server that crashes forgets what it has acknowledged and not flushed. A client
// that merely connects again and goes on loses it without a word: the next FLUSH, answered by the
// new server process (the new *incarnation*), says "all is safe". So:
//
//   - Every acknowledged change is kept (journal.hpp) until a FLUSH that was sent after its
//     acknowledgement has succeeded. acknowledged() counts acknowledgements over all members,
//     durable() is the count that such a FLUSH has covered.
//   - When one member loses its connection all of them end theirs: the device is suspended as a
//     whole. Then the keeper, alone, connects, writes the journals again in the order of the
//     acknowledgements, and flushes. Only then does the next *epoch* begin, with nothing volatile.
//   - Within an epoch all members that send requests are connected to the same incarnation.
//
// Why the last point holds. A member that has connected is not admitted at once. If others serve
// already, one of them sends a FLUSH after the new connection was made; when it is answered, the
// incarnation of that older connection was alive after the newer connection had been made, and a
// server's incarnations do not overlap: both are the same. If nobody serves, nothing is volatile
// (who left has flushed first) and nobody has anything in flight, so the member may be the epoch's
// first whatever incarnation it met.
//
// Why a flush through one member covers the writes of the others. A write acknowledged in this
// epoch was acknowledged by the epoch's incarnation. The flush counts what is acknowledged before
// it is sent (covered = acknowledged()) and is answered by that same incarnation, which is what
// CAN_MULTI_CONN promises to cover. Acknowledgements of earlier epochs were made durable before
// this one began, and no late one can come, for the keeper starts when every member has ended its
// connection and let its requests return.
//
// Ghosts. A request that was on its way when a connection broke may be carried out late, over
// something newer. A connection ends with DISC and the wait for the server's end, which is the
// fence that NBD has (Connection::end). Where the server did not end it and changes were in
// flight, nothing is written for fence_delay.
//
// A crash of ours. The journals, the two counters and the export's identity lie in a file that the
// next engine of the device finds (journal_file.hpp). It begins as after a loss: what is there is
// written again, and flushed, before the first epoch. Its ghosts are the dead engine's: where that
// had changes on their way, nothing is written until the server has closed its connections, which
// outlived it (kept_connections.hpp), or, where one of them did not, for fence_delay. An engine
// that ended in an orderly way leaves nothing to be done.
//
// What this cannot do: a server that says it has flushed and has not, two servers behind one
// address with different contents, ghosts that outlive the fence's delay.
//
// A mutex guards all of it but the two counters and refuses(), which the data path reads. It is
// taken when a member joins, leaves, is lost or proves another, and by health(): never per request.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backends/nbd/connection.hpp"
#include "backends/nbd/journal_file.hpp"
#include "backends/nbd/kept_connections.hpp"
#include "backends/nbd/remote_log.hpp"
#include "backends/nbd/remote_options.hpp"
#include "client/engine/backend_health.hpp"
#include "client/engine/hand_over.hpp"
#include "client/protocol/export.hpp"

namespace nbdring {

class Remote {
 public:
  /// A lane's part. Registered by join(), which gives it its journal, until leave().
  class Member {
   public:
    /// Something changed: ask standing() again. Any thread, under the lock; only posts.
    virtual void wake() noexcept = 0;
    virtual ~Member() = default;

   private:
    friend class Remote;
    enum class State {
      away,     // nothing of it is at the server
      waiting,  // connected, to be admitted
      serving,
      ending,  // served when the device was suspended: its connection is being ended
    };
    State state_ = State::away;
    std::uint64_t epoch_ = 0;   // of its connection
    std::uint64_t ticket_ = 0;  // when it connected, in the order of connecting
  };

  /// Why a member is not with the server any more.
  struct Loss {
    std::string reason;
    bool was_misled = false;   // the server broke the protocol...
    bool had_answers = false;  // ...after it had done something useful
  };

  Remote(const RemoteOptions& options, RemoteLog& log)
      : options_(options), log_(log), kept_(options.keepsakes) {}
  ~Remote();

  // --- the data path; any thread, no lock ---

  std::uint64_t acknowledged() const {
    return file_->acknowledged().load(std::memory_order_acquire);
  }
  std::uint64_t durable() const { return file_->durable().load(std::memory_order_acquire); }
  /// The sequence of an acknowledgement.
  std::uint64_t acknowledge() {
    return file_->acknowledged().fetch_add(1, std::memory_order_acq_rel) + 1;
  }
  /// A FLUSH that was sent when `covered` changes were acknowledged has succeeded.
  void flushed(std::uint64_t covered) noexcept;
  /// A FLUSH that no client asked for has failed: the next one that is asked for says so.
  void note_flush_error() noexcept { flush_failed_ = true; }
  bool take_flush_error() noexcept { return flush_failed_ && flush_failed_.exchange(false); }
  /// Requests end with EIO instead of waiting for the server.
  bool refuses() const { return refusing_.load(std::memory_order_acquire); }

  // --- a member ---

  /// Null where no journal is kept: a read-only export, or a server that has no FLUSH and so no
  /// word for what is durable.
  Journal* join(Member& member);
  /// Registered no longer, nothing at the server. A journal that is not empty stays, for the
  /// keeper.
  void leave(Member& member, Journal* journal);

  /// Somebody has left entries behind that no flush has covered yet.
  bool has_orphans();

  /// The epoch in which to connect now; none: wait to be woken.
  std::optional<std::uint64_t> epoch() const;
  /// Every connection of that epoch has ended: what is sent from now on goes behind the fence.
  bool has_left(std::uint64_t epoch) const;
  /// Before anything is sent on it.
  ConnectionHold hold(const Stream& socket) noexcept;
  /// It has connected, in the epoch it was given. False: too late, end it.
  bool connected(Member& member, std::uint64_t epoch);
  /// What the server says of its size, which is not smaller than identity()'s: a larger one is
  /// told, once, and changes nothing.
  void note_size(std::uint64_t bytes);
  /// It cannot connect although the device serves.
  void cannot_connect(Member& member, std::uint64_t epoch, const std::string& reason,
                      bool is_other_disk);

  struct Standing {
    bool serves = false;     // may send requests
    bool is_over = false;    // end the connection
    bool proves = false;     // see proof_begins()
    bool abandoned = false;  // in no time
  };
  Standing standing(const Member& member) const;

  /// A serving member is to show that its incarnation is alive: for everybody who waits by now.
  std::uint64_t proof_begins();
  void proof_ended(Member& prover, std::uint64_t ticket, bool was_answered);

  /// The connection of a serving member has been lost: the device is suspended.
  void lost(Member& member, const Loss& loss);
  /// A serving member will leave: it is not asked for proofs and not waited for.
  void retire(Member& member);
  /// Its connection has ended and its requests have returned.
  void ended(Member& member, Connection::Fence fence, bool had_changes);

  // --- the keeper ---

  /// The connections of a former engine that died: nothing more is sent on them.
  void take_former();
  /// Whether their end would tell that no ghost can come: it is to be seen (kept()) before anything
  /// is written, and told.
  bool awaits_former() const;
  void former_seen(bool has_ended);
  KeptConnections& kept() { return kept_; }

  /// What wakes the keeper: as a member, but it is none.
  void set_keeper(Member& keeper) { keeper_ = &keeper; }
  /// The server's offer, once; what later ones are held against.
  void set_identity(const Export& about, const TlsReport& tls);
  /// Then, and after set_single(), if at all: takes up what a former engine left. Throws Failure,
  /// above all where that belongs to another disk.
  void open_journals();
  const Export& identity() const { return identity_; }
  bool keeps_journal() const { return keeps_journal_; }

  struct Work {
    bool recover = false;     // every member has ended: connect, replay, begin an epoch
    bool has_server = false;  // a member serves: no other connection need hold the server's place
    bool single = false;      // one connection for all lanes
    bool abandoned = false;
    bool is_lost = false;  // suspended or recovering
    Clock::time_point lost_at;
  };
  Work work() const;
  /// For all later: the lanes share one connection.
  void set_single();
  /// Where the lanes hand their requests to from then on. Set before the next epoch begins.
  void set_carrier(Carrier& carrier) { carrier_.store(&carrier, std::memory_order_release); }
  /// Null while each lane has a connection of its own.
  Carrier* carrier() const { return carrier_.load(std::memory_order_acquire); }

  /// When changes may be sent again.
  Clock::time_point fence() const;
  void note_end(Connection::Fence fence, bool had_changes);
  /// While the device is suspended: every journal, with what durable() does not cover.
  std::vector<const Journal*> journals() const;
  /// They have been written again and flushed.
  void replayed(std::uint64_t writes, std::uint64_t bytes);
  /// The next epoch.
  void recovered();
  /// From now on until recovered() requests end with EIO. The reason is one clause.
  void refuse(const std::string& reason);
  bool was_misled_too_often() const;

  // --- the backend ---

  /// Nothing waits any more, ever. Any thread.
  void abandon() noexcept;
  BackendHealth health() const;

 private:
  enum class Phase { serving, suspending, recovering };

  void suspend(const std::string& reason);
  void check_suspended();
  void reconsider();
  void admit(Member& member);
  void wake_all();
  void adopt_journals();
  void expect_ghosts();
  void recycle_journals();
  bool has_serving() const;
  bool is_current(const Member& member) const {
    return phase_ == Phase::serving && member.epoch_ == epoch_;
  }

  const RemoteOptions& options_;
  RemoteLog& log_;
  KeptConnections kept_;
  std::unique_ptr<JournalFile> file_;  // with the counters; constant once opened
  std::atomic<bool> flush_failed_{false};
  std::atomic<bool> refusing_{false};
  std::atomic<Carrier*> carrier_{nullptr};

  Export identity_;  // constant once set, as the next
  bool keeps_journal_ = false;

  mutable std::mutex lock_;  // guards everything below
  Phase phase_ = Phase::serving;
  bool single_ = false;
  std::uint64_t epoch_ = 1;
  bool abandoned_ = false;
  std::vector<Member*> members_;
  Member* keeper_ = nullptr;
  Member* prover_ = nullptr;  // has been asked for a proof
  std::uint64_t tickets_ = 0;
  std::vector<std::unique_ptr<Journal>> journals_;  // all of them
  std::vector<Journal*> free_journals_;             // empty, nobody's
  std::vector<Journal*> orphans_;                   // nobody's, not empty when last looked at
  Clock::time_point fence_{};
  std::optional<Clock::time_point> fence_once_seen_;  // if the former's connections end
  Clock::time_point lost_at_{};
  Clock::time_point state_since_ = Clock::now();
  unsigned misled_ = 0;
  std::uint64_t told_size_ = 0;
  unsigned connect_failures_ = 0;  // of members, since one was admitted
  BackendHealth counts_;           // what only grows, and the texts
};

}  // namespace nbdring
