#pragma once
// The settings of a device's request queue. Each write freezes the queue until what is in flight
// has been answered, so it runs on a thread of its own with a deadline, and the lanes serve
// meanwhile.

#include <cstdint>

#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// No elevator; requests of up to `request_size_max` bytes (the driver's default is 128 KiB),
/// capped by what the driver can do; read-ahead of at least a request. A refused setting is a
/// warning. False: the queue did not freeze in time.
bool set_queue(std::uint32_t index, std::uint32_t request_size_max, const Sysfs& sysfs,
               Deadline deadline, Log& log);

}  // namespace nbdring
