#pragma once
// Ranges of bytes that one task at a time may change, for the tasks of one loop. First come, first
// served: who waits is overtaken only by ranges that do not overlap its own. Nothing allocates: a
// range stands in its owner's frame.

#include <coroutine>
#include <cstdint>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

class RangeLock {
 public:
  RangeLock() = default;
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  ~RangeLock() { ENSURE(first_ == nullptr); }

  /// Stands in the line from its construction on, holds the range when wait() has ended, and gives
  /// it back at its destruction.
  class Range {
   public:
    Range(RangeLock& lock, std::uint64_t begin, std::uint64_t end)
        : lock_(lock), begin_(begin), end_(end), previous_(lock.last_) {
      (previous_ == nullptr ? lock_.first_ : previous_->next_) = this;
      lock_.last_ = this;
    }
    Range(const Range&) = delete;
    Range& operator=(const Range&) = delete;
    ~Range() { lock_.remove(*this); }

    class Wait {
     public:
      explicit Wait(Range& range) : range_(range) {}
      bool await_ready() const noexcept { return range_.is_free(); }
      void await_suspend(std::coroutine_handle<> waiting) noexcept { range_.waiting_ = waiting; }
      void await_resume() const noexcept {}

     private:
      Range& range_;
    };
    Wait wait() { return Wait(*this); }

   private:
    friend class RangeLock;
    bool is_free() const noexcept {
      for (const Range* other = previous_; other != nullptr; other = other->previous_) {
        if (other->begin_ < end_ && begin_ < other->end_) return false;
      }
      return true;
    }

    RangeLock& lock_;
    const std::uint64_t begin_;
    const std::uint64_t end_;  // behind the last byte
    Range* previous_;          // came before
    Range* next_ = nullptr;
    std::coroutine_handle<> waiting_;
  };

 private:
  void remove(Range& range) noexcept {
    (range.previous_ == nullptr ? first_ : range.previous_->next_) = range.next_;
    (range.next_ == nullptr ? last_ : range.next_->previous_) = range.previous_;
    // Whoever is resumed may remove its own range and resume others: begin again each time.
    for (Range* next = first_waiting(); next != nullptr; next = first_waiting()) {
      std::exchange(next->waiting_, nullptr).resume();
    }
  }
  Range* first_waiting() const noexcept {
    for (Range* range = first_; range != nullptr; range = range->next_) {
      if (range->waiting_ && range->is_free()) return range;
    }
    return nullptr;
  }

  Range* first_ = nullptr;  // in the order of coming, those that hold and those that wait
  Range* last_ = nullptr;
};

}  // namespace nbdring
