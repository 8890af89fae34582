#include "cli/patience.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds pause_first{1000};
constexpr std::chrono::milliseconds pause_longest{10'000};

/// Nothing: it is open.
std::optional<std::string> try_to_open(const Patience& patience) {
  try {
    patience.open();
    return std::nullopt;
  } catch (const Failure& failure) {
    if (failure.kind() != FailureKind::unreachable) throw;
    return failure.what();
  }
}

bool is_told_to_end(int stop_fd, std::chrono::milliseconds wait) {
  pollfd stop{stop_fd, POLLIN, 0};
  return ::poll(&stop, 1, static_cast<int>(wait.count())) > 0;
}

}  // namespace

bool open_when_reachable(const Patience& patience, Log& log) {
  std::string last;
  for (auto pause = pause_first;; pause = std::min(2 * pause, pause_longest)) {
    const auto reason = try_to_open(patience);
    if (!reason) return true;
    if (*reason != last) {
      log.warning("waiting: " + *reason);
      patience.tell("waiting: " + *reason);
    }
    last = *reason;
    if (is_told_to_end(patience.stop_fd, pause)) return false;
  }
}

}  // namespace nbdring
