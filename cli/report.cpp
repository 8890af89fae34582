#include "cli/report.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string with_unit(double value, const char* unit) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(),
                value < 10    ? "%.2f %s"
                : value < 100 ? "%.1f %s"
                              : "%.0f %s",
                value, unit);
  return text.data();
}

// What a terminal must not get raw: names and paths are anybody's bytes.
std::string shown(const std::string& text) {
  std::string safe = text;
  for (char& c : safe) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return safe;
}

std::string latency_cell(const CommandStatus& command, std::uint64_t latency) {
  return command.requests == 0 || latency == 0 ? "-" : latency_text(latency);
}

std::string stall_text(std::chrono::milliseconds stall) {
  return latency_text(static_cast<std::uint64_t>(stall.count()) * 1'000'000);
}

std::string peer_of(const PeerStatus& peer) {
  if (peer.configuration.empty()) return "";
  std::string text = "peer     " + shown(peer.address);
  if (!peer.who.empty()) text += "  " + shown(peer.who);
  text += "  configuration " + shown(peer.configuration);
  if (peer.away == 0) text += "  " + peer.state;
  text += peer.away > 0 ? "  away for " + uptime_text(peer.away)
                        : "  connected for " + uptime_text(peer.here) + "  connections " +
                              std::to_string(peer.connections);
  if (peer.returns > 0) text += "  came back " + std::to_string(peer.returns);
  if (!peer.note.empty()) text += "\n         " + shown(peer.note);
  return text + "\n";
}

// Who keeps no journal cannot tell what is not flushed.
std::string kept_of(const BackendHealth& remote, bool kernel_path) {
  if (kernel_path) return "not written again after a crash of the server";
  return bytes_text(remote.volatile_bytes) + " not flushed";
}

std::string remote_of(const BackendHealth& remote, bool kernel_path) {
  if (remote.state.empty()) return "";
  std::string text = "remote   " + shown(remote.endpoint) + "  " + remote.state;
  if (remote.state != "serving") text += " for " + stall_text(remote.since);
  text += "  " + (remote.tls.empty() ? "not encrypted" : shown(remote.tls)) + "\n";
  text += "         " + kept_of(remote, kernel_path) + "  reconnects " +
          std::to_string(remote.reconnects);
  if (remote.reconnects > 0 && !kernel_path) {
    text += "  written again " + std::to_string(remote.replayed_writes) + " (" +
            bytes_text(remote.replayed_bytes) + ")  longest stall " +
            stall_text(remote.longest_stall);
  } else if (remote.reconnects > 0) {
    text += "  longest stall " + stall_text(remote.longest_stall);
  }
  if (remote.lost_writes > 0) text += "  given up " + std::to_string(remote.lost_writes);
  if (!remote.last_reason.empty()) text += "\n         last lost: " + shown(remote.last_reason);
  return text + "\n";
}

const char* state_of(const KnownDevice& known) {
  if (!known.engine_lives) return "engine gone";
  if (known.record.kernel_path) return "serving (kernel)";
  return known.record.recovering ? "recovering" : "serving";
}

// When, and how long nobody answered the driver's requests.
std::string stalls_of(const DeviceStatus& status) {
  std::string text;
  const StallStatus& stall = status.last_stall;
  if (!stall.cause.empty()) {
    text = "stalls   " + std::to_string(stall.count) + "  the last " +
           stall_text(std::chrono::milliseconds(stall.milliseconds));
    if (stall.in_flight_milliseconds > stall.milliseconds) {
      text += " (in flight " + stall_text(std::chrono::milliseconds(stall.in_flight_milliseconds)) +
              ")";
    }
    text += "  " + moment_text(stall.when) + "\n         " + shown(stall.cause) + "\n";
  }
  if (status.lost_connections > 0) {
    text += "lost     connections " + std::to_string(status.lost_connections) + "  replaced " +
            std::to_string(status.refilled) + "  changes that waited " +
            std::to_string(status.fenced) + "\n";
  }
  return text;
}

std::string head_of(const DeviceStatus& status) {
  const DeviceRecord& record = status.record;
  std::string text = record.device() + "  " + status.state + "  " + bytes_text(record.size) +
                     (record.read_only ? "  read-only" : "") + "  pid " +
                     std::to_string(record.pid) +
                     (record.keeper > 0 ? "  keeper " + std::to_string(record.keeper) : "") +
                     "  up " + uptime_text(status.uptime) + "\n";
  if (!record.name.empty()) text += "name     " + shown(record.name) + "\n";
  text += "backend  " + shown(record.backend) + "\n";
  if (record.kernel_path) text += "path     kernel: the driver talks to the server itself\n";
  if (record.id != record.backend) text += "id       " + shown(record.id) + "\n";
  return text + stalls_of(status) + peer_of(status.peer) +
         remote_of(status.remote, record.kernel_path);
}

std::string command_table(const DeviceStatus& status) {
  Table table({"COMMAND", "REQUESTS", "BYTES", "ERRORS", "P50", "P99", "P99.9"},
              {false, true, true, true, true, true, true});
  const auto add = [&table](const std::string& name, const CommandStatus& command) {
    table.add({name, std::to_string(command.requests), bytes_text(command.bytes),
               std::to_string(command.errors), latency_cell(command, command.latency.p50),
               latency_cell(command, command.latency.p99),
               latency_cell(command, command.latency.p999)});
  };
  for (std::size_t i = 0; i < driver_commands.size(); ++i) {
    add(name_of(driver_commands[i]), status.total.commands[i]);
  }
  add("all", status.total.all);
  return table.text();
}

// The kernel counts the device's requests, and not those of each connection.
std::string connection_table(const DeviceStatus& status) {
  Table table({"CONNECTION", "STATE"}, {true, false});
  for (std::size_t i = 0; i < status.lanes.size(); ++i) {
    table.add({std::to_string(i), status.lanes[i].state});
  }
  return table.text() + "\nin flight: " + std::to_string(status.total.in_flight) + "\n";
}

std::string lane_table(const DeviceStatus& status) {
  if (status.record.kernel_path) return connection_table(status);
  Table table({"LANE", "STATE", "IN FLIGHT", "REFUSED", "REQUESTS", "BYTES", "ERRORS", "P99"},
              {true, false, true, true, true, true, true, true});
  for (std::size_t i = 0; i < status.lanes.size(); ++i) {
    const LaneStatus& lane = status.lanes[i];
    table.add({std::to_string(i), lane.state, std::to_string(lane.in_flight),
               std::to_string(lane.refused), std::to_string(lane.all.requests),
               bytes_text(lane.all.bytes), std::to_string(lane.all.errors),
               latency_cell(lane.all, lane.all.latency.p99)});
  }
  return table.text();
}

std::string rates_of(const DeviceStatus& status, const Earlier& before) {
  const auto rate = [&before](std::uint64_t now, std::uint64_t then) {
    return before.seconds > 0 && now > then ? static_cast<double>(now - then) / before.seconds : 0;
  };
  ENSURE(before.seconds >= 0);
  const LaneStatus& now = status.total;
  const LaneStatus& then = before.status.total;
  const auto requests = rate(now.all.requests, then.all.requests);
  const auto read = rate(now.commands[0].bytes, then.commands[0].bytes);
  const auto written = rate(now.commands[1].bytes, then.commands[1].bytes);
  return "now      " + std::to_string(static_cast<std::uint64_t>(requests)) + " requests/s  read " +
         bytes_text(static_cast<std::uint64_t>(read)) + "/s  write " +
         bytes_text(static_cast<std::uint64_t>(written)) + "/s  in flight " +
         std::to_string(now.in_flight) + "\n";
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.5 and more would be shown as 1024.
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return with_unit(value, units[unit]);
}

std::string latency_text(std::uint64_t nanoseconds) {
  const double value = static_cast<double>(nanoseconds);
  if (nanoseconds < 1000) return std::to_string(nanoseconds) + " ns";
  if (value < 999.5e3) return with_unit(value / 1e3, "us");
  if (value < 999.5e6) return with_unit(value / 1e6, "ms");
  return with_unit(value / 1e9, "s");
}

std::string uptime_text(std::uint64_t seconds) {
  const std::uint64_t minutes = seconds / 60;
  const std::uint64_t hours = minutes / 60;
  const std::uint64_t days = hours / 24;
  if (days > 0) return std::to_string(days) + " d " + std::to_string(hours % 24) + " h";
  if (hours > 0) return std::to_string(hours) + " h " + std::to_string(minutes % 60) + " min";
  if (minutes > 0) return std::to_string(minutes) + " min";
  return std::to_string(seconds) + " s";
}

std::string moment_text(std::int64_t seconds) {
  const std::time_t moment = seconds;
  std::tm local{};
  std::array<char, 32> text{};
  if (::localtime_r(&moment, &local) == nullptr) return std::to_string(seconds);
  std::strftime(text.data(), text.size(), "%F %T", &local);
  return text.data();
}

std::string list_table(const std::vector<KnownDevice>& devices) {
  if (devices.empty()) return "";
  Table table({"DEVICE", "SIZE", "MODE", "CONNS", "PID", "STATE", "NAME", "BACKEND"},
              {false, true, false, true, true, false, false, false});
  for (const KnownDevice& known : devices) {
    const DeviceRecord& record = known.record;
    table.add({record.device(), bytes_text(record.size), record.read_only ? "ro" : "rw",
               std::to_string(record.connections), std::to_string(record.pid), state_of(known),
               record.name.empty() ? "-" : shown(record.name), shown(record.backend)});
  }
  return table.text();
}

std::string list_json(const std::vector<KnownDevice>& devices) {
  auto array = nlohmann::ordered_json::array();
  for (const KnownDevice& known : devices) {
    const DeviceRecord& record = known.record;
    auto device = nlohmann::ordered_json::parse(to_json(record));
    device["state"] = state_of(known);
    array.push_back(std::move(device));
  }
  return array.dump(2) + "\n";
}

std::string status_table(const DeviceStatus& status, const std::optional<Earlier>& before) {
  std::string text = head_of(status);
  if (before) text += rates_of(status, *before);
  return text + "\n" + command_table(status) + "\n" + lane_table(status);
}

}  // namespace nbdring
