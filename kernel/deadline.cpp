#include "kernel/deadline.hpp"

#include <thread>

namespace nbdring {

bool wait_until(const std::function<bool()>& condition, Deadline deadline) {
  constexpr std::chrono::milliseconds longest{20};
  std::chrono::milliseconds pause{1};
  while (!condition()) {
    if (deadline.has_passed()) return false;
    std::this_thread::sleep_for(std::min(pause, deadline.remaining()));
    pause = std::min(pause * 2, longest);
  }
  return true;
}

}  // namespace nbdring
