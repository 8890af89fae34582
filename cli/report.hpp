#pragma once
// How devices and their numbers are shown: tables for people, at most 80 columns wide, and
// Prometheus's text format (version 0.0.4). Pure functions.

#include <optional>
#include <string>
#include <vector>

#include "cli/device_status.hpp"
#include "cli/state.hpp"

namespace nbdring {

/// A row for each device, in columns; nothing where there is none. Long backends are not cut: they
/// are the last column.
std::string list_table(const std::vector<KnownDevice>& devices);
std::string list_json(const std::vector<KnownDevice>& devices);

/// before: the status of `seconds` ago, for the line with the rates.
struct Earlier {
  const DeviceStatus& status;
  double seconds;
};
std::string status_table(const DeviceStatus& status,
                         const std::optional<Earlier>& before = std::nullopt);
std::string status_prometheus(const DeviceStatus& status);

/// "512 B", "48.2 MiB": at most 9 characters.
std::string bytes_text(std::uint64_t bytes);
/// "870 ns", "52.1 us", "1.2 ms": at most 8 characters.
std::string latency_text(std::uint64_t nanoseconds);
/// "2026-11-21 20:14:03", in this machine's time zone.
std::string moment_text(std::int64_t seconds);
/// "45 s", "12 min", "3 h 20 min", "5 d 7 h".
std::string uptime_text(std::uint64_t seconds);

}  // namespace nbdring
