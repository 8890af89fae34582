#pragma once
// The status of a device whose driver talks to the server itself: the kernel counts its requests
// (/sys/block/nbdN/stat), its latencies nobody does.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/device_status.hpp"
#include "cli/state.hpp"
#include "client/engine/backend_health.hpp"

namespace nbdring {

/// The line of /sys/block/nbdN/stat (Documentation/block/stat.rst), as far as it goes: discards
/// since Linux 4.19, flushes since 5.5. The kernel counts WRITE_ZEROES as writes.
CommandStatuses commands_of_stat(const std::string& line);

/// alive: by connection; stat, in_flight: see Sysfs; now: seconds since 1970.
DeviceStatus direct_status(const DeviceRecord& record, const std::vector<bool>& alive,
                           const BackendHealth& remote, const std::string& stat,
                           std::uint64_t in_flight, std::int64_t now);

}  // namespace nbdring
