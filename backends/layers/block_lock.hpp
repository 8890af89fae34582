#pragma once
// Ranges of blocks that one task at a time may change, for the tasks of many loops. First come,
// first served: who waits is overtaken only by ranges that do not overlap its own. Nothing
// allocates: a range stands in its owner's frame, and is itself the message that wakes its loop.
//
// The mutex is held while the line is looked through, never across a wait. A wait ends when those
// before it end theirs.

#include <coroutine>
#include <cstdint>
#include <mutex>

#include "client/runtime/loop.hpp"

namespace nbdring {

class BlockLock {
 public:
  BlockLock() = default;
  BlockLock(const BlockLock&) = delete;
  BlockLock& operator=(const BlockLock&) = delete;
  ~BlockLock() { ENSURE(first_ == nullptr); }

  /// Stands in the line from its construction on, holds the range when wait() has ended, and gives
  /// it back at its destruction. Used on its loop's thread.
  class Range final : private Message {
   public:
    /// end: behind the last block.
    Range(BlockLock& lock, Loop& loop, std::uint64_t begin, std::uint64_t end);
    Range(const Range&) = delete;
    Range& operator=(const Range&) = delete;
    ~Range() override;

    class Wait {
     public:
      explicit Wait(Range& range) : range_(range) {}
      bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<> waiting) noexcept;
      void await_resume() const noexcept {}

     private:
      Range& range_;
    };
    Wait wait() { return Wait(*this); }

   private:
    friend class BlockLock;
    bool overlaps(const Range& other) const { return other.begin_ < end_ && begin_ < other.end_; }
    bool is_free() const noexcept;
    void deliver() noexcept override { waiting_.resume(); }

    BlockLock& lock_;
    Loop& loop_;
    const std::uint64_t begin_;
    const std::uint64_t end_;
    Range* previous_ = nullptr;  // came before
    Range* next_ = nullptr;
    Range* next_woken_ = nullptr;
    bool waits_ = false;
    std::coroutine_handle<> waiting_;
  };

 private:
  Range* take_out(Range& range) noexcept;

  std::mutex mutex_;        // guards the line: the links and waits_ of all ranges
  Range* first_ = nullptr;  // in the order of coming, those that hold and those that wait
  Range* last_ = nullptr;
};

}  // namespace nbdring
