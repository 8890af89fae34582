#pragma once
// A lane's block buffers, there from the start. Who finds none free waits in line; a holder never
// waits for another buffer, so every wait ends. One loop's thread.

#include <coroutine>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {

class BlockBuffers {
 public:
  BlockBuffers(std::size_t count, std::size_t bytes) : memory_(count * bytes), bytes_(bytes) {
    free_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) free_.push_back(memory_.data() + i * bytes);
  }
  BlockBuffers(const BlockBuffers&) = delete;
  BlockBuffers& operator=(const BlockBuffers&) = delete;

  /// Holds a buffer from take(), or from the end of wait(), until its destruction.
  class Lease {
   public:
    explicit Lease(BlockBuffers& owner) : owner_(owner) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      if (buffer_ != nullptr) owner_.give_back(buffer_);
    }

    /// False where none is free.
    bool take() noexcept {
      if (owner_.free_.empty()) return false;
      buffer_ = owner_.free_.back();
      owner_.free_.pop_back();
      return true;
    }
    std::span<std::byte> bytes() const { return {buffer_, owner_.bytes_}; }

    class Wait {
     public:
      explicit Wait(Lease& lease) : lease_(lease) {}
      bool await_ready() const noexcept { return lease_.take(); }
      void await_suspend(std::coroutine_handle<> waiting) noexcept {
        lease_.waiting_ = waiting;
        lease_.owner_.line_up(lease_);
      }
      void await_resume() const noexcept {}

     private:
      Lease& lease_;
    };
    Wait wait() { return Wait(*this); }

   private:
    friend class BlockBuffers;
    BlockBuffers& owner_;
    std::byte* buffer_ = nullptr;
    Lease* next_ = nullptr;
    std::coroutine_handle<> waiting_;
  };

 private:
  void line_up(Lease& lease) noexcept {
    (first_ == nullptr ? first_ : last_->next_) = &lease;
    last_ = &lease;
  }
  void give_back(std::byte* buffer) noexcept {
    if (first_ == nullptr) {
      free_.push_back(buffer);
      return;
    }
    Lease* const next = std::exchange(first_, first_->next_);
    next->buffer_ = buffer;
    next->waiting_.resume();
  }

  std::vector<std::byte> memory_;
  std::size_t bytes_;
  std::vector<std::byte*> free_;
  Lease* first_ = nullptr;
  Lease* last_ = nullptr;
};

}  // namespace nbdring
