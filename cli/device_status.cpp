#include "cli/device_status.hpp"

#include <algorithm>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Histogram = std::array<std::uint64_t, LatencyHistogram::buckets>;

/// A CommandStatus in the making: percentiles can be taken only from a finished sum.
struct Sum {
  CommandStatus counts;
  Histogram latencies{};

  void add(const LaneStats::PerCommand& command) {
    counts.requests += command.requests.get();
    counts.bytes += command.bytes.get();
    counts.errors += command.errors.get();
    command.latency.add_to(latencies);
  }
  CommandStatus finish() const {
    CommandStatus finished = counts;
    finished.latency = {percentile(latencies, 50), percentile(latencies, 99),
                        percentile(latencies, 99.9)};
    return finished;
  }
};

// The status of one lane, or of several as if they were one.
LaneStatus status_of(const std::vector<const LaneStats*>& lanes, std::string state) {
  LaneStatus status;
  status.state = std::move(state);
  Sum all;
  for (std::size_t i = 0; i < driver_commands.size(); ++i) {
    const auto command = static_cast<std::size_t>(driver_commands[i]);
    Sum sum;
    for (const LaneStats* lane : lanes) {
      sum.add(lane->commands[command]);
      all.add(lane->commands[command]);
    }
    status.commands[i] = sum.finish();
  }
  status.all = all.finish();
  for (const LaneStats* lane : lanes) {
    status.in_flight += lane->in_flight.get();
    status.refused += lane->refused.get();
  }
  return status;
}

std::string state_of(const std::vector<const LaneStats*>& lanes) {
  const auto in = [&lanes](LaneState state) {
    return std::count_if(lanes.begin(), lanes.end(),
                         [state](const LaneStats* lane) { return lane->state == state; });
  };
  const auto ended = in(LaneState::ended);
  if (ended + in(LaneState::lost) == 0) return "serving";
  return ended == std::ssize(lanes) ? "ended" : "degraded";
}

}  // namespace

DeviceStatus collect_status(const DeviceRecord& record, const std::vector<const LaneStats*>& lanes,
                            std::int64_t now, const BackendHealth& remote) {
  ENSURE(!lanes.empty());
  DeviceStatus status;
  status.record = record;
  status.state = state_of(lanes);
  status.remote = remote;
  if (status.state == "serving" && !remote.state.empty()) status.state = remote.state;
  status.uptime = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - record.started));
  for (const LaneStats* lane : lanes) {
    status.lanes.push_back(status_of({lane}, name_of(lane->state.load())));
  }
  status.total = status_of(lanes, status.state);
  return status;
}

}  // namespace nbdring
