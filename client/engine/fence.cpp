#include "client/engine/fence.hpp"

#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Of a lane that does not serve: nothing of it is under way that was not declared.
constexpr Clock::rep always = Clock::time_point::max().time_since_epoch().count();

bool overlap(const Ghost& one, const Ghost& other) {
  return one.offset < other.offset + other.length && other.offset < one.offset + one.length;
}

}  // namespace

Fence::Fence(std::size_t lanes, Clock::duration suspect_after)
    : lanes_(lanes), suspect_after_(suspect_after), looks_(std::make_unique<Look[]>(lanes)) {
  for (std::size_t i = 0; i < lanes; ++i) looks_[i].at = always;
}

Fence::~Fence() { ENSURE(ghosts_ == nullptr && waiters_ == nullptr); }

bool Fence::is_overlapped(const Ghost& change, const FenceLane& lane) const noexcept {
  for (const Ghost* ghost = ghosts_; ghost != nullptr; ghost = ghost->next) {
    if (ghost->lane != &lane && overlap(*ghost, change)) return true;
  }
  return false;
}

void Fence::insert(Ghost& ghost) noexcept {
  ghost.previous = nullptr;
  ghost.next = std::exchange(ghosts_, &ghost);
  if (ghost.next != nullptr) ghost.next->previous = &ghost;
  ghost.is_declared = true;
  ghost_count_.store(ghost_count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void Fence::remove(Ghost& ghost) noexcept {
  (ghost.previous == nullptr ? ghosts_ : ghost.previous->next) = ghost.next;
  if (ghost.next != nullptr) ghost.next->previous = ghost.previous;
  ghost.is_declared = false;
  ghost_count_.store(ghost_count_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

void Fence::release_waiters(const Ghost& gone) noexcept {
  Waiter** link = &waiters_;
  while (*link != nullptr) {
    Waiter& waiter = **link;
    if (!overlap(gone, *waiter.change) || is_overlapped(*waiter.change, *waiter.lane)) {
      link = &waiter.next;
      continue;
    }
    *link = waiter.next;
    FenceLane& lane = *waiter.lane;
    Waiter** last = &lane.released_;
    while (*last != nullptr) last = &(*last)->next;
    waiter.next = nullptr;
    *last = &waiter;
    if (!std::exchange(lane.is_posted_, true)) lane.loop_.post(lane);
  }
}

FenceLane::FenceLane(Fence& fence, std::size_t lane, Loop& loop)
    : fence_(fence), index_(lane), loop_(loop) {
  ENSURE(lane < fence.lanes_);
  if (fence.suspect_after_ > Clock::duration::zero()) looked(Clock::now());
}

FenceLane::~FenceLane() {
  if (!has_left_) leave();
  const std::lock_guard lock(fence_.mutex_);  // after post() has returned
  loop_.withdraw(*this);
}

bool FenceLane::others_have_looked(Clock::time_point arrived) const noexcept {
  const Clock::rep since = (arrived - fence_.suspect_after_ / 2).time_since_epoch().count();
  for (std::size_t i = 0; i < fence_.lanes_; ++i) {
    if (i != index_ && fence_.looks_[i].at.load(std::memory_order_acquire) < since) return false;
  }
  return true;
}

bool FenceLane::Admission::await_suspend(std::coroutine_handle<> waiting) noexcept {
  Fence& fence = lane_.fence_;
  const std::lock_guard lock(fence.mutex_);
  if (!fence.is_overlapped(change_, lane_)) {
    change_.lane = &lane_;
    if (declared_) fence.insert(change_);
    admitted_ = true;
    return false;
  }
  fence.waits_.fetch_add(1, std::memory_order_relaxed);
  waiter_ = {&change_, &lane_, waiting};
  Fence::Waiter** last = &fence.waiters_;
  while (*last != nullptr) last = &(*last)->next;
  *last = &waiter_;
  return true;
}

void FenceLane::declare(Ghost& change) noexcept {
  const std::lock_guard lock(fence_.mutex_);
  change.lane = this;
  fence_.insert(change);
}

void FenceLane::withdraw(Ghost& change) noexcept {
  const std::lock_guard lock(fence_.mutex_);
  fence_.remove(change);
  fence_.release_waiters(change);
}

void FenceLane::looked(Clock::time_point now) noexcept {
  fence_.looks_[index_].at.store(now.time_since_epoch().count(), std::memory_order_release);
}

void FenceLane::leave() noexcept {
  ENSURE(!has_left_);
  has_left_ = true;
  Fence::Waiter* ended = nullptr;
  {
    const std::lock_guard lock(fence_.mutex_);
    fence_.looks_[index_].at.store(always, std::memory_order_release);
    ended = std::exchange(released_, nullptr);
    Fence::Waiter** link = &fence_.waiters_;
    while (*link != nullptr) {
      Fence::Waiter& waiter = **link;
      if (waiter.lane != this) {
        link = &waiter.next;
        continue;
      }
      *link = waiter.next;
      waiter.next = std::exchange(ended, &waiter);
    }
  }
  while (ended != nullptr) {
    Fence::Waiter* const next = ended->next;  // the waiter dies with its coroutine's resumption
    ended->waiting.resume();
    ended = next;
  }
}

void FenceLane::deliver() noexcept {
  Fence::Waiter* released = nullptr;
  {
    const std::lock_guard lock(fence_.mutex_);
    is_posted_ = false;
    released = std::exchange(released_, nullptr);
  }
  while (released != nullptr) {
    Fence::Waiter* const next = released->next;
    released->waiting.resume();
    released = next;
  }
}

}  // namespace nbdring
