// The loop's waits for sockets alone.

#include <poll.h>

#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

// Nothing but readiness to wait for, and none of it armed in the ring: polling the ring's own
// descriptor would not do, for with DEFER_TASKRUN a completion that nobody waits for in the ring
// wakes nobody (seen on Linux 6.18).
void Loop::wait_in_poll() {
  poll_sets_.clear();
  poll_sets_.push_back({wake_.get(), POLLIN, 0});
  List waiting = readiness_;
  for (Operation* operation = waiting.head; operation != nullptr; operation = operation->next_) {
    poll_sets_.push_back(
        {operation->arguments_.fd, static_cast<short>(operation->arguments_.flags), 0});
  }
  const int ready = poll_or_look();
  ENSURE(ready >= 0 || errno == EINTR);
  if (ready <= 0) return;
  woken_ = poll_sets_[0].revents != 0;
  readiness_ = List();
  std::size_t index = 1;
  while (Operation* operation = waiting.pop()) {
    const short events = poll_sets_[index++].revents;
    operation->result_ = events;
    (events != 0 ? completed_ : readiness_).push(*operation);
  }
}

int Loop::poll_or_look() {
  const int milliseconds = milliseconds_to_next_timer();
  const bool looks = expects_soon_ && lookout_.looks();
  const int seen = looks && milliseconds != 0 ? look() : 0;
  if (seen != 0) return seen;
  const bool is_measured = expects_soon_ && !looks;
  const auto began = is_measured ? Clock::now() : Clock::time_point();
  const int ready = ::poll(poll_sets_.data(), poll_sets_.size(), milliseconds);
  if (is_measured) lookout_.slept(Clock::now() - began);
  return ready;
}

int Loop::look() {
  const auto began = Clock::now();
  auto now = began;
  for (;;) {
    const int ready = ::poll(poll_sets_.data(), poll_sets_.size(), 0);
    const auto before = std::exchange(now, Clock::now());
    const bool interrupted = now - before > Lookout::interruption;
    if (ready != 0 && !interrupted) {
      lookout_.found(now - began);
    } else if (interrupted || now - began >= Lookout::window) {
      lookout_.missed();
    } else {
      continue;
    }
    return ready;
  }
}

}  // namespace nbdring
