#pragma once
// The device's node in /dev and those who look at it first: the partition scan, udev. attach
// returns after them, so that the user's next command finds the partitions and nobody else has the
// device open.
//
// Each of these may need the lanes to serve: never on a lane's thread.

#include <cstdint>
#include <string>

#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// "/dev/nbdN".
std::string node_path(std::uint32_t index);

/// Failure (cannot_attach) where the node does not come, as in a container without devtmpfs.
void wait_for_node(std::uint32_t index, const Sysfs& sysfs, Deadline deadline);

/// The first open reads the partition table; it returns when the lanes have answered. 0 or the
/// errno of the open; ETIMEDOUT when it is not back by the deadline.
int open_first(std::uint32_t index, Deadline deadline);

/// Waits until udev has nothing left to do, where it runs. It is no failure when it takes longer:
/// then the log says so.
void settle_udev(Deadline deadline, Log& log);

}  // namespace nbdring
