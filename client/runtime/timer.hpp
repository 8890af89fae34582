#pragma once
// Deadlines of one loop: few, so a sorted list that lives in the timers themselves is the cheapest.

#include <chrono>
#include <coroutine>
#include <string>

#include "client/runtime/error.hpp"

namespace nbdring {

using Clock = std::chrono::steady_clock;

/// "2 s" or "150 ms", for the log.
std::string duration_text(Clock::duration duration);

class Loop;

/// Calls expired() once, on the loop's thread, when its time has come; destroyed or stopped before,
/// it never does.
class Timer {
 public:
  Timer(Loop& loop, Clock::time_point when);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { stop(); }

  void stop();
  bool has_expired() const { return expired_; }

 protected:
  virtual void expired() = 0;

 private:
  friend class Loop;

  Loop& loop_;
  Clock::time_point when_;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  bool armed_ = false;
  bool expired_ = false;
};

/// co_await loop.sleep(duration)
class Sleep final : public Timer {
 public:
  Sleep(Loop& loop, Clock::duration after) : Timer(loop, Clock::now() + after) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }
  void await_resume() const noexcept {}

 private:
  void expired() override { waiter_.resume(); }
  std::coroutine_handle<> waiter_;
};

}  // namespace nbdring
