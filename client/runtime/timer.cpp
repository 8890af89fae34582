#include "client/runtime/timer.hpp"

#include <algorithm>

#include "client/runtime/loop.hpp"

namespace nbdring {

std::string duration_text(Clock::duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (milliseconds % 1000 == 0) return std::to_string(milliseconds / 1000) + " s";
  return std::to_string(milliseconds) + " ms";
}

Timer::Timer(Loop& loop, Clock::time_point when) : loop_(loop), when_(when) { loop_.arm(*this); }

void Timer::stop() {
  if (armed_) loop_.disarm(*this);
}

void Loop::arm(Timer& timer) {
  ENSURE(!timer.armed_);
  Timer* before = nullptr;
  Timer* after = first_timer_;
  while (after != nullptr && after->when_ <= timer.when_) {
    before = after;
    after = after->next_;
  }
  timer.previous_ = before;
  timer.next_ = after;
  (before != nullptr ? before->next_ : first_timer_) = &timer;
  if (after != nullptr) after->previous_ = &timer;
  timer.armed_ = true;
}

void Loop::disarm(Timer& timer) {
  ENSURE(timer.armed_);
  (timer.previous_ != nullptr ? timer.previous_->next_ : first_timer_) = timer.next_;
  if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
  timer.armed_ = false;
}

void Loop::hurry() noexcept {
  for (Timer* timer = first_timer_; timer != nullptr; timer = timer->next_) timer->when_ = {};
}

void Loop::expire_timers() {
  if (first_timer_ == nullptr) return;
  const auto now = Clock::now();
  while (first_timer_ != nullptr && first_timer_->when_ <= now) {
    Timer& timer = *first_timer_;
    disarm(timer);
    timer.expired_ = true;
    timer.expired();  // may destroy the timer, and arm or stop others
  }
}

int Loop::milliseconds_to_next_timer() const {
  if (first_timer_ == nullptr) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(first_timer_->when_ - Clock::now());
  constexpr std::chrono::milliseconds longest{60'000};
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), longest).count());
}

}  // namespace nbdring
