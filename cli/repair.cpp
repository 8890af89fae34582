#include "cli/repair.hpp"

#include <algorithm>
#include <string>

#include "client/runtime/error.hpp"
#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds pause_first{10};
constexpr milliseconds pause_longest{1000};
constexpr milliseconds refill_time{1500};
constexpr std::chrono::seconds between_lines{10};

// What was told to end fails all that waits in it; what the driver gave up for a slow request has
// at least that one, which it is about to send again.
constexpr milliseconds told_to_end_time{100};

}  // namespace

Repair::Repair(Device& device, Attachment& attachment, std::chrono::seconds timeout, Log& log)
    : device_(device),
      attachment_(attachment),
      timeout_(timeout),
      log_(log),
      noted_(device.lanes(), false),
      pause_(pause_first) {
  ENSURE(timeout.count() > 0);
}

// The driver counts from the moment at which it has the request, the lane from when it has read it:
// what lay in the socket for long is younger here than there.
bool Repair::was_too_slow(std::size_t lane) const {
  return device_.age_when_lost(lane) >= timeout_ / 4;
}

bool Repair::was_told_to_end() const {
  for (std::size_t lane = 0; lane < device_.lanes(); ++lane) {
    if (was_too_slow(lane)) return false;
  }
  const Sysfs sysfs;
  const auto is_over = [this] { return !attachment_.is_held(); };
  const auto decided = [&] { return is_over() || sysfs.in_flight(attachment_.index()) > 0; };
  return !wait_until(decided, Deadline::in(told_to_end_time)) || is_over();
}

void Repair::note(const std::vector<std::size_t>& lost) {
  for (const std::size_t lane : lost) {
    if (noted_[lane]) continue;
    noted_[lane] = true;
    if (Clock::now() < next_line_) {
      ++lines_left_out_;
      continue;
    }
    const std::string reason = was_too_slow(lane)
                                   ? "a request was not answered within " +
                                         std::to_string(timeout_.count()) + " s (--timeout)"
                                   : "see 'nbd' in dmesg";
    log_.warning("the driver gave a connection up: it gets another",
                 {{"device", attachment_.path()},
                  {"connection", std::to_string(lane)},
                  {"reason", reason},
                  {"more-since-last-line", std::to_string(lines_left_out_)}});
    next_line_ = Clock::now() + between_lines;
    lines_left_out_ = 0;
  }
}

Repair::Outcome Repair::look() {
  if (device_.has_ended() || !attachment_.is_held()) return Outcome::over;
  const std::vector<std::size_t> lost = device_.lost();
  const std::size_t without = device_.without_connection();
  if (without == 0) {
    pause_ = pause_first;
    return Outcome::whole;
  }
  if (without == device_.lanes() && was_told_to_end()) return Outcome::over;
  note(lost);
  const Outcome outcome = repair(lost);
  if (outcome == Outcome::waiting) pause_ = std::min(pause_ * 2, pause_longest);
  return outcome;
}

Repair::Outcome Repair::repair(const std::vector<std::size_t>& lost) {
  const auto dead = [this] {
    return static_cast<unsigned>(std::max<std::size_t>(device_.without_connection(), 1));
  };
  try {
    for (const std::size_t lane : lost) {
      std::optional<FileDescriptor> socket = attachment_.refill(dead, refill_time);
      if (!socket) return Outcome::waiting;
      device_.replace(lane, std::move(*socket));
      noted_[lane] = false;
      pause_ = pause_first;
    }
  } catch (const Failure& failure) {
    log_.warning(failure.what());
    return Outcome::over;
  }
  return device_.without_connection() == 0 ? Outcome::whole : Outcome::waiting;
}

}  // namespace nbdring
