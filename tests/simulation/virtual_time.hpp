#pragma once
// Time that a simulation moves by itself: while a VirtualTime exists, the process's monotonic clock
// stands still but for advance(). So hours of waiting for a server take no time, and the same seed
// gives the same run.
//
// clock_gettime() is defined in this program, which is where the standard library's steady_clock
// asks. Made and used by one thread; others read it.

#include <chrono>

namespace nbdring {

class VirtualTime {
 public:
  VirtualTime();
  ~VirtualTime();
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;

  void advance(std::chrono::microseconds by);
};

}  // namespace nbdring
