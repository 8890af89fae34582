#pragma once
// Requests that wait, in the order in which they were first asked for: one that was sent, lost and
// waits again goes before those that came after it. One loop's thread.

#include <coroutine>
#include <cstdint>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

class Parking {
 public:
  Parking() = default;
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;
  ~Parking() { ENSURE(first_ == nullptr); }

  class Wait {
   public:
    Wait(Parking& parking, std::uint64_t ticket) : parking_(parking), ticket_(ticket) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) noexcept {
      waiting_ = waiting;
      parking_.insert(*this);
    }
    void await_resume() const noexcept {}

   private:
    friend class Parking;
    Parking& parking_;
    std::uint64_t ticket_;
    std::coroutine_handle<> waiting_;
    Wait* next_ = nullptr;
    Wait* previous_ = nullptr;
  };
  Wait wait(std::uint64_t ticket) { return Wait(*this, ticket); }

  bool empty() const { return first_ == nullptr; }
  /// Somebody who came earlier waits.
  bool has_older(std::uint64_t ticket) const {
    return first_ != nullptr && first_->ticket_ < ticket;
  }

  /// Resumes all who wait now. Who has to wait again waits for the next call.
  void resume_all() {
    Wait* wait = std::exchange(first_, nullptr);
    last_ = nullptr;
    while (wait != nullptr) {
      Wait* const next = wait->next_;  // the wait dies with its coroutine's resumption
      wait->waiting_.resume();
      wait = next;
    }
  }

 private:
  // From the end: who comes is mostly the youngest.
  void insert(Wait& wait) noexcept {
    Wait* before = last_;
    while (before != nullptr && before->ticket_ > wait.ticket_) before = before->previous_;
    Wait* const after = before != nullptr ? before->next_ : first_;
    wait.previous_ = before;
    wait.next_ = after;
    (before != nullptr ? before->next_ : first_) = &wait;
    (after != nullptr ? after->previous_ : last_) = &wait;
  }

  Wait* first_ = nullptr;
  Wait* last_ = nullptr;
};

}  // namespace nbdring
