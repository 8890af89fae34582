#pragma once
// CONNECT: of a device with a number that the user wants, or the first that is free.
//
// Waits out what passes: udev that looks at the node, a device of that number that is just going
// away, a module that was unloaded a moment ago. Failures are Failure exceptions and say who is in
// the way.

#include <cstdint>
#include <optional>

#include "client/runtime/error.hpp"
#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/netlink.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// Finds the driver's family; loads the driver where it was unloaded meanwhile.
void open_family(Netlink& netlink, Deadline deadline, Log& log);

/// Sets the request's index and client flags, and sends it.
void connect_index(Netlink& netlink, ConnectRequest& request, std::optional<std::uint32_t> wanted,
                   Deadline deadline, Log& log);

/// The device did not exist before CONNECT: it is to vanish with its end.
inline bool vanishes(const ConnectRequest& request) {
  return (request.client_flags & nbd_netlink::destroy_on_disconnect) != 0;
}

/// The highest number that a device can have, with the module as it was loaded.
std::uint32_t index_limit(const Sysfs& sysfs);

Failure needs_root();

}  // namespace nbdring
