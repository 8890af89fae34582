#include "tests/simulation/virtual_time.hpp"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "client/runtime/error.hpp"

namespace {

std::atomic<bool> is_virtual{false};
std::atomic<long long> virtual_nanoseconds{0};
constexpr long long second = 1'000'000'000;

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (clock != CLOCK_MONOTONIC || !is_virtual) {
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  }
  const long long now = virtual_nanoseconds;
  time->tv_sec = now / second;
  time->tv_nsec = now % second;
  return 0;
}

namespace nbdring {

VirtualTime::VirtualTime() {
  ENSURE(!is_virtual);
  virtual_nanoseconds = 1000 * second;
  is_virtual = true;
}

VirtualTime::~VirtualTime() { is_virtual = false; }

void VirtualTime::advance(std::chrono::microseconds by) {
  virtual_nanoseconds += by.count() * 1000;
}

}  // namespace nbdring
