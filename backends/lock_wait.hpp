#pragma once
// The wait for a lock that somebody else holds. Mostly it is an engine that was killed: its lock
// ends when the kernel has finished the writes in its ring, so that this wait is what keeps them
// from landing after ours. Every ten seconds it tells what it waits for.

#include <chrono>
#include <string>

#include "client/runtime/log.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class LockWait {
 public:
  /// longest: from now on.
  LockWait(std::string path, std::chrono::milliseconds longest, Log& log);

  /// Sleeps for a moment. False, and no sleep: the time is over.
  bool goes_on();

 private:
  const std::string path_;
  const Clock::time_point end_;
  Clock::time_point next_word_;
  Log& log_;
};

}  // namespace nbdring
