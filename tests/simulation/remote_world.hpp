#pragma once
// One seed's simulation of a remote device: the lanes, the keeper and the journals as they are, on
// one loop, in virtual time, against a server that crashes, stalls and loses its network.
//
// What is held: no request fails, for the recovery window has no end; after a flush, a write with
// FUA and a lane's close everything that was acknowledged before is on the server's stable storage,
// and stays; no read and no image ever has bytes older than what was acknowledged; nothing waits
// for ever. Lanes are given up in the middle of their work: what they are cancelled may have been
// done, and is never done later than its answer.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backends/nbd/keeper.hpp"
#include "backends/nbd/remote.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/loop.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/simulation/remote_server.hpp"
#include "tests/simulation/virtual_time.hpp"

namespace nbdring {

class RemoteWorld {
 public:
  struct Report {
    std::function<void(const std::string&)> trace;   // empty: none
    std::function<void(const std::string&)> failed;  // does not return
  };

  RemoteWorld(std::uint64_t seed, Report report);

  /// Returns when every promise has been seen to hold.
  void run();

  std::uint64_t turns() const { return turns_; }
  std::uint64_t requests() const { return requests_; }
  std::uint64_t replayed() const { return replayed_; }
  std::uint64_t ghosts() const { return server_->ghosts(); }

 private:
  struct Range {
    std::uint64_t offset;
    std::uint64_t length;
  };

  Task<void> play(Loop& loop);
  Task<void> leave_last(Loop& loop);
  Task<void> turn_by_turn(Loop& loop);
  /// A lane, from its opening to its end.
  struct Life {
    std::unique_ptr<BackendLane> lane;
    bool is_given_up = false;
  };
  Task<void> use_lane(Loop& loop, std::size_t index);
  Task<void> work(Loop& loop, Life& life, std::size_t count);
  Task<void> give_up(Loop& loop, Life& life);
  Task<void> change(Loop& loop, Life& life);
  Task<void> read(Loop& loop, Life& life);
  Task<void> flush(Loop& loop, Life& life);
  Task<void> pause(Loop& loop, std::uint64_t milliseconds);

  void step();
  void break_something();
  void repair_something();
  Range pick_range();
  void check_stable(Range range, std::uint64_t until, const char* what);
  void expect_ok(Status status, const char* what);
  /// True: it was cancelled, as it may be where its lane was given up. All else is to be well.
  bool was_cancelled(Status status, const Life& life, const char* what);
  void trace(const std::string& text) const;

  Random random_;
  Report report_;
  VirtualTime time_;
  Export about_;
  RemoteOptions options_;
  Log log_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<RemoteServer> server_;
  std::unique_ptr<RemoteServerSource> source_;
  std::unique_ptr<RemoteLog> remote_log_;
  std::unique_ptr<Remote> remote_;
  std::unique_ptr<Keeper> keeper_;
  std::uint64_t fault_every_ = 1000;  // turns
  std::uint64_t next_number_ = Oracle::initial_number + 1;
  std::uint64_t turns_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t answered_before_ = 0;
  std::uint64_t idle_turns_ = 0;
  std::uint64_t replayed_ = 0;
  bool is_over_ = false;
};

}  // namespace nbdring
