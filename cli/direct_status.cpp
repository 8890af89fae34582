#include "cli/direct_status.hpp"

#include <algorithm>
#include <cstddef>
#include <sstream>

namespace nbdring {
namespace {

constexpr std::uint64_t sector_bytes = 512;

// Fields of the line, from 0.
constexpr std::size_t reads = 0;
constexpr std::size_t writes = 4;
constexpr std::size_t discards = 11;
constexpr std::size_t sectors_behind = 2;  // of the three above
constexpr std::size_t flushes = 15;
constexpr std::size_t fields = 17;

CommandStatus counted(const std::vector<std::uint64_t>& numbers, std::size_t first) {
  CommandStatus command;
  command.requests = numbers[first];
  command.bytes = numbers[first + sectors_behind] * sector_bytes;
  return command;
}

}  // namespace

CommandStatuses commands_of_stat(const std::string& line) {
  std::vector<std::uint64_t> numbers;
  std::istringstream words(line);
  for (std::uint64_t number = 0; words >> number;) numbers.push_back(number);
  numbers.resize(std::max(numbers.size(), fields));
  CommandStatuses commands;
  for (std::size_t i = 0; i < driver_commands.size(); ++i) {
    if (driver_commands[i] == StatsCommand::read) commands[i] = counted(numbers, reads);
    if (driver_commands[i] == StatsCommand::write) commands[i] = counted(numbers, writes);
    if (driver_commands[i] == StatsCommand::trim) commands[i] = counted(numbers, discards);
    if (driver_commands[i] == StatsCommand::flush) commands[i].requests = numbers[flushes];
  }
  return commands;
}

DeviceStatus direct_status(const DeviceRecord& record, const std::vector<bool>& alive,
                           const BackendHealth& remote, const std::string& stat,
                           std::uint64_t in_flight, std::int64_t now) {
  DeviceStatus status;
  status.record = record;
  status.remote = remote;
  const auto lost = std::count(alive.begin(), alive.end(), false);
  status.state = lost > 0 && remote.state == "serving" ? "degraded" : remote.state;
  status.uptime = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - record.started));
  for (const bool is_alive : alive) {
    LaneStatus lane;
    lane.state = is_alive ? "serving" : "lost";
    status.lanes.push_back(lane);
  }
  status.total.state = status.state;
  status.total.in_flight = in_flight;
  status.total.commands = commands_of_stat(stat);
  for (const CommandStatus& command : status.total.commands) {
    status.total.all.requests += command.requests;
    status.total.all.bytes += command.bytes;
  }
  return status;
}

}  // namespace nbdring
