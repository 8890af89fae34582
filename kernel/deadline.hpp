#pragma once
// The moment at which a wait ends. Everything in kernel/ that can wait takes one, so that waits
// inside waits never add up.

#include <algorithm>
#include <chrono>
#include <functional>

namespace nbdring {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline in(std::chrono::milliseconds time) { return Deadline(Clock::now() + time); }

  /// The same deadline, or an earlier one: what a part of the work may take at most.
  Deadline at_most(std::chrono::milliseconds time) const {
    return Deadline(std::min(moment_, Clock::now() + time));
  }

  bool has_passed() const { return Clock::now() >= moment_; }
  Clock::time_point moment() const { return moment_; }
  std::chrono::milliseconds remaining() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(moment_ - Clock::now());
    return std::max(left, std::chrono::milliseconds(0));
  }

 private:
  explicit Deadline(Clock::time_point moment) : moment_(moment) {}
  Clock::time_point moment_;
};

/// Asks until the answer is true (then true) or the deadline has passed (then false): sysfs has no
/// way to be told. Asks at least once; the pauses grow from 1 ms to 20 ms.
bool wait_until(const std::function<bool()>& condition, Deadline deadline);

}  // namespace nbdring
