#pragma once
// The work of one connection: `depth` tasks that each ask, wait, count and ask again, over one
// BackendLane in one loop. Nothing is allocated per request.
//
// A backend that answers within the call (memory, a file in the page cache) would keep the loop's
// first task going for ever, and the answers that others wait for uncollected, which would then
// look slow. So after a few microseconds of such answers a task lets the loop have a turn.
//
// On the lane's thread, but for the phase, which the owner of the load sets.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cli/bench/load_tally.hpp"
#include "cli/bench/pattern.hpp"
#include "cli/bench/point.hpp"
#include "cli/bench/verify.hpp"
#include "client/engine/arena.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

/// What one connection does.
struct LoadPlan {
  BenchPoint point;
  std::uint64_t offset = 0;  // bytes; of the part that is this connection's alone
  std::uint64_t blocks = 0;  // of that part
  std::uint64_t seed = 0;    // of the run
  std::uint32_t serial = 0;  // of the load within the run: the same blocks are new ones each time
  unsigned lane = 0;
  bool verify = false;
};

class LoadWork final : private TurnEnd {
 public:
  LoadWork(Loop& loop, BackendLane& lane, const LoadPlan& plan, const std::atomic<LoadPhase>& phase,
           LoadTally& tally);

  /// Until the phase is the last one, every request has ended and the lane is closed.
  Task<void> run();

  /// Nothing new, and what is under way need not end well.
  void give_up() noexcept;

  FramePool& frames() { return loop_.frames(); }

 private:
  struct Request {
    std::uint64_t block;
    std::uint64_t offset;
    bool is_write;
    Clock::time_point begin;
  };

  void turn_ended() noexcept override { ++turn_; }

  Task<void> load(std::span<std::byte> buffer);
  Task<void> check(std::span<std::byte> buffer);

  LoadPhase phase() const { return phase_.load(std::memory_order_relaxed); }
  bool may_load() const { return phase() < LoadPhase::checking && !is_given_up_; }
  bool may_check() const { return phase() < LoadPhase::ended && !is_given_up_; }
  bool crowds_others(std::uint64_t begun_in, Clock::time_point now) const;
  void note_turn(Clock::time_point now);

  std::optional<std::uint64_t> choose_block();
  BlockIdentity identity(std::uint64_t block, std::uint32_t generation) const;
  std::uint64_t offset_of(std::uint64_t block) const;
  void settle(const Request& request, Status status, Clock::time_point end,
              std::span<const std::byte> buffer);
  void settle_verified(const Request& request, Status status, std::span<const std::byte> buffer);
  void compare(std::uint64_t block, std::span<const std::byte> buffer);
  void failed(const char* what, std::uint64_t offset, Status status);

  Loop& loop_;
  BackendLane& lane_;
  const LoadPlan& plan_;
  const std::atomic<LoadPhase>& phase_;
  LoadTally& tally_;
  BlockSource source_;
  BenchRandom mix_;  // read or write
  Arena arena_;
  std::optional<Generations> generations_;  // --verify
  std::uint64_t next_check_ = 0;
  unsigned errors_in_a_row_ = 0;
  bool is_given_up_ = false;

  std::uint64_t turn_ = 0;
  std::uint64_t known_turn_ = ~std::uint64_t{0};
  Clock::time_point turn_began_;
};

}  // namespace nbdring
