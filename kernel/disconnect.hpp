#pragma once
// The end of a device, also of one whose engine is dead: DISCONNECT, and the wait until the driver
// has let go.
//
// The driver never asks whether somebody still uses the device: what is in flight fails with EIO.
// Ask users_of() first.

#include <chrono>
#include <cstdint>
#include <string>

#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/netlink.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

struct DisconnectTarget {
  std::uint32_t index = 0;
  std::string identifier;  // as given to CONNECT
  bool destroyed = false;  // CONNECT asked for destroy_on_disconnect: the device goes away
};

enum class DisconnectEnd {
  done,   // the driver has let go of the device
  held,   // disconnected, but somebody has it open: it is free with its last user
  stuck,  // netlink did not answer: the driver waits for room in the socket of a server that does
          // not read
  refused,
};

/// On an open channel. Ends by the deadline; the log says what was not done. May be called again
/// where it was stuck, when the server's ends of the connections have been shut down.
DisconnectEnd disconnect_device(Netlink& netlink, const DisconnectTarget& target, Deadline deadline,
                                Log& log);

/// Ends a device of which only the index is known: another tool's, or one whose engine is dead,
/// with or without a record. `done` also when it was not attached. Its engine must not live: a
/// stopped one would hold generic netlink for everybody until the request's timeout. Failure
/// (cannot_attach) where this user may not.
DisconnectEnd disconnect_index(std::uint32_t index, std::chrono::milliseconds time, Log& log);

}  // namespace nbdring
