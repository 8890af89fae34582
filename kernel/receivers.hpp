#pragma once
// The driver's receivers: for each connection a work item that reads replies until the connection
// ends. Counted here because one of them may never start, and then every request on that connection
// waits for its timeout.
//
// How that happens (Linux 6.1 to 6.12 tried, under load): CONNECT queues all receivers at once on a
// workqueue with a rescuer. When the kernel needs more than 10 ms to make another worker, the
// rescuer takes what is queued, all of it, and runs it one by one: the first receiver does not
// return while the device lives, so those behind it never run. The kernel shows what a worker runs
// in /proc/PID/comm: "kworker/u5:1+nbd0-recv", the rescuer as "nbd0-recv+nbd0-recv".

#include <cstdint>
#include <optional>
#include <string>

#include "kernel/deadline.hpp"

namespace nbdring {

/// Waits until `wanted` receivers run (then true), the deadline has passed, or half a second
/// brought no further one. True also where they cannot be counted.
bool receivers_run(std::uint32_t index, unsigned wanted, Deadline deadline);

/// The same, and how many run then; none where they cannot be counted.
std::optional<unsigned> wait_for_receivers(std::uint32_t index, unsigned wanted, Deadline deadline);

/// Waits until no more than `left` run: those of dead connections have ended. Where they cannot be
/// counted a pause must do.
bool receivers_ended(std::uint32_t index, unsigned left, Deadline deadline);

/// None where kernel threads cannot be seen, as in a container with processes of its own.
std::optional<unsigned> running_receivers(std::uint32_t index, const std::string& root = "");

}  // namespace nbdring
