#pragma once
// What an engine counts about its device, as plain numbers of one moment. The engine collects it,
// the control protocol carries it as JSON, report.hpp draws it.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/state.hpp"
#include "client/engine/backend_health.hpp"
#include "client/engine/stats.hpp"

namespace nbdring {

/// Percentiles in nanoseconds, from a request's arrival to its reply's last byte.
struct Latency {
  std::uint64_t p50 = 0;
  std::uint64_t p99 = 0;
  std::uint64_t p999 = 0;
  friend bool operator==(const Latency&, const Latency&) = default;
};

struct CommandStatus {
  std::uint64_t requests = 0;  // answered, errors included
  std::uint64_t bytes = 0;     // of the ranges that were asked for
  std::uint64_t errors = 0;
  Latency latency;
  friend bool operator==(const CommandStatus&, const CommandStatus&) = default;
};

/// The commands that the driver sends, in the order in which they are shown. It never sends
/// BLOCK_STATUS.
inline constexpr std::array<StatsCommand, 5> driver_commands{
    StatsCommand::read, StatsCommand::write, StatsCommand::flush, StatsCommand::trim,
    StatsCommand::write_zeroes};
static_assert(driver_commands.size() + 1 == stats_commands,
              "a new command is shown, or left out on purpose");
using CommandStatuses = std::array<CommandStatus, driver_commands.size()>;

struct LaneStatus {
  std::string state;
  std::uint64_t in_flight = 0;
  std::uint64_t refused = 0;  // answered with an error before they reached the backend
  CommandStatuses commands{};
  CommandStatus all;  // of all commands together
  friend bool operator==(const LaneStatus&, const LaneStatus&) = default;
};

/// Of a gateway's device: whose disk it is.
struct PeerStatus {
  std::string configuration;  // empty: it is no gateway's device
  std::string state;          // "starting", "serving", "away", "ending"
  std::string address;
  std::string who;                // whom the authenticator let in; may be empty
  std::uint64_t connections = 0;  // that are here
  std::uint64_t here = 0;         // seconds since it came, or came back
  std::uint64_t away = 0;         // seconds since it has gone; 0: it is here
  std::uint64_t returns = 0;      // how often it came back
  std::string note;               // why the end waits; may be empty
  friend bool operator==(const PeerStatus&, const PeerStatus&) = default;
};

/// A time in which nobody answered the driver's requests: the engine had died, or was changed.
struct StallStatus {
  std::string cause;      // "engine died: signal 9", "upgrade", "resize"; empty: there was none
  std::int64_t when = 0;  // seconds since 1970
  std::uint64_t milliseconds = 0;            // until new requests were answered again
  std::uint64_t in_flight_milliseconds = 0;  // and those that had been on their way
  std::uint64_t count = 0;                   // of the device, so far
  friend bool operator==(const StallStatus&, const StallStatus&) = default;
};

struct DeviceStatus {
  DeviceRecord record;
  /// "serving"; "degraded" when a lane has ended or is lost; "ended"; a remote's "recovering" or
  /// "failed"
  std::string state;
  std::uint64_t uptime = 0;  // seconds
  std::vector<LaneStatus> lanes;
  LaneStatus total;  // over the lanes; its state is the device's
  StallStatus last_stall;
  std::uint64_t engine_restarts = 0;   // after the death of one
  std::uint64_t lost_connections = 0;  // that the driver gave up, or that broke
  std::uint64_t refilled = 0;          // lost ones that another one stands in for
  std::uint64_t fenced = 0;  // changes that waited for an older one of a lost connection to end
  BackendHealth remote;      // its state is empty where the backend is none
  PeerStatus peer;
  friend bool operator==(const DeviceStatus&, const DeviceStatus&) = default;
};

/// From the counters of the lanes. now: seconds since 1970.
DeviceStatus collect_status(const DeviceRecord& record, const std::vector<const LaneStats*>& lanes,
                            std::int64_t now, const BackendHealth& remote = {});

std::string to_json(const DeviceStatus& status);
/// Nothing where the text is not what to_json() writes.
std::optional<DeviceStatus> status_from_json(const std::string& text);

}  // namespace nbdring
