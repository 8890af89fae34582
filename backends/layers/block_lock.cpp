#include "backends/layers/block_lock.hpp"

namespace nbdring {

BlockLock::Range::Range(BlockLock& lock, Loop& loop, std::uint64_t begin, std::uint64_t end)
    : lock_(lock), loop_(loop), begin_(begin), end_(end) {
  const std::lock_guard guard(lock_.mutex_);
  previous_ = lock_.last_;
  (previous_ == nullptr ? lock_.first_ : previous_->next_) = this;
  lock_.last_ = this;
}

BlockLock::Range::~Range() {
  Range* woken = lock_.take_out(*this);
  while (woken != nullptr) {
    Range* const next = woken->next_woken_;  // the range may be gone as soon as it is posted
    woken->loop_.post(*woken);
    woken = next;
  }
}

bool BlockLock::Range::Wait::await_suspend(std::coroutine_handle<> waiting) noexcept {
  const std::lock_guard guard(range_.lock_.mutex_);
  if (range_.is_free()) return false;
  range_.waiting_ = waiting;
  range_.waits_ = true;
  return true;
}

bool BlockLock::Range::is_free() const noexcept {
  for (const Range* other = previous_; other != nullptr; other = other->previous_) {
    if (overlaps(*other)) return false;
  }
  return true;
}

/// Those that hold their range from now on.
BlockLock::Range* BlockLock::take_out(Range& range) noexcept {
  const std::lock_guard guard(mutex_);
  (range.previous_ == nullptr ? first_ : range.previous_->next_) = range.next_;
  (range.next_ == nullptr ? last_ : range.next_->previous_) = range.previous_;
  Range* woken = nullptr;
  for (Range* other = range.next_; other != nullptr; other = other->next_) {
    if (!other->waits_ || !other->overlaps(range) || !other->is_free()) continue;
    other->waits_ = false;
    other->next_woken_ = woken;
    woken = other;
  }
  return woken;
}

}  // namespace nbdring
