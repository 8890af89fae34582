#pragma once
// Waiting for something that another task of the same loop does. One loop's thread; no locks.

#include <coroutine>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

/// A flag that tasks await and others raise. It stays raised until lower(). raise() resumes the
/// waiters at once, in the caller's stack: raise it last.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { ENSURE(waiters_ == nullptr); }

  bool raised() const { return raised_; }
  void lower() { raised_ = false; }
  void raise() {
    raised_ = true;
    Wait* waiter = std::exchange(waiters_, nullptr);
    while (waiter != nullptr) {
      Wait* next = waiter->next_;  // the awaiter dies with its coroutine's resumption
      waiter->waiting_.resume();
      waiter = next;
    }
  }

  class Wait {
   public:
    explicit Wait(Event& event) : event_(event) {}
    bool await_ready() const noexcept { return event_.raised_; }
    void await_suspend(std::coroutine_handle<> waiting) noexcept {
      waiting_ = waiting;
      next_ = std::exchange(event_.waiters_, this);
    }
    void await_resume() const noexcept {}

   private:
    friend class Event;
    Event& event_;
    std::coroutine_handle<> waiting_;
    Wait* next_ = nullptr;
  };
  Wait wait() { return Wait(*this); }

 private:
  bool raised_ = false;
  Wait* waiters_ = nullptr;
};

}  // namespace nbdring
