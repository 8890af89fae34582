#pragma once
// Structured concurrency: a Scope is where tasks run side by side, and nothing outlives it.
//
// spawn() starts a task at once; join() ends when every spawned task has ended. Whoever owns the
// scope awaits join() before the scope dies: its destructor holds that. A spawned task has no
// awaiter that could catch, so an exception out of it is a programmer's error. One loop's thread.

#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/task.hpp"

namespace nbdring {

class Scope {
 public:
  explicit Scope(FramePool& frames) : frames_(frames) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { ENSURE(running_ == 0); }

  FramePool& frames() { return frames_; }

  void spawn(Task<void> task) { drive(*this, std::move(task)); }
  std::size_t running() const { return running_; }

  class Join {
   public:
    explicit Join(Scope& scope) : scope_(scope) {}
    bool await_ready() const noexcept { return scope_.running_ == 0; }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
      ENSURE(!scope_.joiner_);
      scope_.joiner_ = awaiting;
    }
    void await_resume() const noexcept {}

   private:
    Scope& scope_;
  };
  Join join() { return Join(*this); }

 private:
  // A coroutine without an owner: it frees itself at its end.
  struct Detached {
    struct promise_type : detail::PooledFrame {
      Detached get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
  };

  static Detached drive(Scope& scope, Task<void> task) {
    ++scope.running_;
    co_await task;
    scope.task_ended();  // last: the joiner may destroy the scope
  }

  void task_ended() {
    ENSURE(running_ > 0);
    if (--running_ == 0 && joiner_) std::exchange(joiner_, nullptr).resume();
  }

  FramePool& frames_;
  std::size_t running_ = 0;
  std::coroutine_handle<> joiner_ = nullptr;
};

}  // namespace nbdring
