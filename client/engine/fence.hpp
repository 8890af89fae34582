#pragma once
// The fence of a device: it keeps a newer write from being overtaken by an older one that nobody
// waits for any more.
//
// Why there must be one. The driver delivers at least once: a request that is not answered within
// the driver's timer T costs its connection (it is shut), and the request is sent again on another.
// The first copy may still be under way in the backend. If the second is answered, and a newer
// write to the same blocks after it, the first may land last: stale data, and nobody notices. So a
// change (WRITE, TRIM, WRITE_ZEROES) does not begin while a *ghost*, an unfinished change of
// another connection that is lost or may be, overlaps it. Reads need not wait: until a copy of the
// ghost is answered, the old data and the new are both right. Flushes need not: they cover what was
// answered, and a ghost never is.
//
// The race that waiting for the stream's end would lose: the second copy may be read by lane B
// before lane A's thread has seen that its connection was shot. Three rules close it.
//  1. Each lane looks at its changes every quarter of S (`suspect_after`, half of T), and declares
//     those older than S to be ghosts: long before a copy of them can exist. They are ghosts for
//     the other lanes only. It then publishes when it looked.
//  2. A change begins on lane B only when every other lane's last look is less than S/2 older than
//     the change's arrival: what was not declared in it was younger than S + S/2 < T when the
//     change arrived. A lane whose thread was kept from running (its process was stopped) is waited
//     for.
//  3. A change that may be older than S when it begins (it lay in the socket while the lane had no
//     room; it waited here) is declared first; then its connection is looked at. Shut: it is
//     dropped, for its copy may be done already. Alive: the copy, if there will be one, meets the
//     declaration.
// Ages are bounds from above: a request begins after the second-last time, before it was read, at
// which the lane had read its socket empty. (At the last one its sender may have been waiting for
// room. Not at two in a row: the first made room, and nobody else may send before.)
//
// What it costs while nothing is wrong: an acquire load of the ghosts' count, and one of each other
// lane's look, per change; no lock. While there are ghosts, a mutex.
//
// One Fence per device; it outlives its lanes. A FenceLane is made and used on its lane's thread.

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "client/runtime/loop.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class FenceLane;

/// A change that other lanes keep off. Lives in its lane's slot; the list is the fence's.
struct Ghost {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  const FenceLane* lane = nullptr;
  Ghost* previous = nullptr;
  Ghost* next = nullptr;
  bool is_declared = false;  // the lane's thread only
};

class Fence {
 public:
  /// suspect_after 0: no change is ever sent again while its connection lives.
  Fence(std::size_t lanes, Clock::duration suspect_after);
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;
  ~Fence();

  /// Changes that waited. Any thread.
  std::uint64_t waits() const { return waits_; }

 private:
  friend class FenceLane;

  /// A change that waits. Lives in its coroutine's frame.
  struct Waiter {
    const Ghost* change = nullptr;
    FenceLane* lane = nullptr;
    std::coroutine_handle<> waiting;
    Waiter* next = nullptr;
  };
  /// When a lane has last looked at its changes; on a cache line of its own.
  struct alignas(64) Look {
    std::atomic<Clock::rep> at;
  };

  // With the mutex held.
  bool is_overlapped(const Ghost& change, const FenceLane& lane) const noexcept;
  void insert(Ghost& ghost) noexcept;
  void remove(Ghost& ghost) noexcept;
  void release_waiters(const Ghost& gone) noexcept;

  const std::size_t lanes_;
  const Clock::duration suspect_after_;
  const std::unique_ptr<Look[]> looks_;
  std::atomic<std::size_t> ghost_count_{0};
  std::atomic<std::uint64_t> waits_{0};
  std::mutex mutex_;  // guards the lists, and each FenceLane's released waiters
  Ghost* ghosts_ = nullptr;
  Waiter* waiters_ = nullptr;  // in the order in which they came
};

/// One connection's part in the fence.
class FenceLane final : private Message {
 public:
  /// lane: its index in the device; one connection of it at a time looks.
  FenceLane(Fence& fence, std::size_t lane, Loop& loop);
  /// Everything declared has ended, and nothing waits.
  ~FenceLane() override;
  FenceLane(const FenceLane&) = delete;
  FenceLane& operator=(const FenceLane&) = delete;

  /// 0: this lane has no need to look.
  Clock::duration time_between_looks() const { return fence_.suspect_after_ / 4; }
  /// Whether a change that was sent after `sent_after` may be sent again soon.
  bool is_old(Clock::time_point sent_after, Clock::time_point now) const noexcept {
    return fence_.suspect_after_ > Clock::duration::zero() &&
           now - sent_after > fence_.suspect_after_;
  }

  /// There is nothing to keep off: a change that arrived then may begin, if it is not old.
  bool is_clear(Clock::time_point arrived) const noexcept {
    return others_have_looked(arrived) && fence_.ghost_count_.load(std::memory_order_acquire) == 0;
  }
  /// Rule 2.
  bool others_have_looked(Clock::time_point arrived) const noexcept;

  /// Awaited: true, the change may begin, and is declared where so asked. False: it had to wait,
  /// and is to try again, unless the lane is lost.
  class Admission;
  Admission admit(Ghost& change, bool declared);

  /// A change of this lane is a ghost for the others from now on, until withdraw().
  void declare(Ghost& change) noexcept;
  void withdraw(Ghost& change) noexcept;
  /// What is not declared was not old at `now`.
  void looked(Clock::time_point now) noexcept;

  /// The lane begins no change any more, and what it has not ended is declared: nobody waits for
  /// its looks. What waits here ends its wait before this returns. The next connection of the lane
  /// may look from now on.
  void leave() noexcept;

 private:
  friend class Fence;

  void deliver() noexcept override;

  Fence& fence_;
  const std::size_t index_;
  Loop& loop_;
  Fence::Waiter* released_ = nullptr;  // to be resumed by deliver()
  bool is_posted_ = false;
  bool has_left_ = false;
};

class FenceLane::Admission {
 public:
  Admission(FenceLane& lane, Ghost& change, bool declared)
      : lane_(lane), change_(change), declared_(declared) {}
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) noexcept;
  bool await_resume() const noexcept { return admitted_; }

 private:
  FenceLane& lane_;
  Ghost& change_;
  const bool declared_;
  bool admitted_ = false;
  Fence::Waiter waiter_;
};

inline FenceLane::Admission FenceLane::admit(Ghost& change, bool declared) {
  return Admission(*this, change, declared);
}

}  // namespace nbdring
