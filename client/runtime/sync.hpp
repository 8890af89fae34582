#pragma once
// Waiting for something that another task of the same loop does. One loop's thread; no locks.

#include <coroutine>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

/// A flag that one task awaits and others raise. It stays raised until lower(). notify() resumes the waiter at once, in
/// the caller's stack: raise it last.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { ENSURE(!waiter_); }

  bool raised() const { return raised_; }
  void lower() { raised_ = false; }
  void raise() {
    raised_ = true;
    if (waiter_) std::exchange(waiter_, nullptr).resume();
  }

  class Wait {
   public:
    explicit Wait(Event& event) : event_(event) {}
    bool await_ready() const noexcept { return event_.raised_; }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      ENSURE(!event_.waiter_);
      event_.waiter_ = waiter;
    }
    void await_resume() const noexcept {}

   private:
    Event& event_;
  };
  Wait wait() { return Wait(*this); }

 private:
  bool raised_ = false;
  std::coroutine_handle<> waiter_ = nullptr;
};

}  // namespace nbdring
