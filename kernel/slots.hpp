#pragma once
// A new connection in a slot of the driver whose connection is dead.
//
// RECONFIGURE fills the first dead slot, and when none is dead it drops the socket without a word
// (our end of the pair is then at its end). A slot is dead before its old receiver has ended, and
// the old receiver marks the slot dead once more when it ends, or reads from the new connection
// what the new receiver should: so nothing is filled before as many receivers have ended as there
// are dead connections, and a connection with more receivers, or without its own, is closed again
// before anything was answered on it. Receivers: kernel/receivers.hpp. (Read in
// drivers/block/nbd.c, nbd_reconnect_socket() and recv_work(), Linux 6.1 to 6.18; tried with 6.1
// and 6.12.)
//
// On the front end's thread; calls of the kernel on Netlink's.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"
#include "kernel/netlink.hpp"

namespace nbdring {

struct SlotsOfDevice {
  std::uint32_t index = 0;
  std::string identifier;  // as given to CONNECT
  unsigned connections = 0;
};

/// The driver's ends of socketpairs; shared with a netlink call that may be stuck.
using DriverEnds = std::shared_ptr<const std::vector<FileDescriptor>>;

enum class Filled {
  yes,      // the driver receives from it, and sends already
  not_yet,  // nothing happened, or the connection is closed again: try another one later
  refused,  // the driver does not have the device, or not with this identifier
};

/// How many of the device's connections are known to be dead, the one to be filled among them.
using CountDead = std::function<unsigned()>;

/// Fills one slot; the receivers of the dead ones have ended (receivers_ended()). `driver` has one
/// socket, which is used up; `lane` is the other end, which the caller keeps, and is shut down
/// unless the result is `yes`. Ends within the deadline, or a little more than a second, whichever
/// comes first.
Filled fill_slot(Netlink& netlink, const SlotsOfDevice& device, DriverEnds driver, int lane,
                 const CountDead& dead, Deadline deadline, Log& log);
}  // namespace nbdring
