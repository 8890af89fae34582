#include "kernel/slots.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "client/runtime/error.hpp"
#include "kernel/receivers.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds receiver_time{1000};

bool has_ended(int lane) {
  pollfd end{lane, 0, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR)) != 0;
}

/// The new connection has its receiver, and nobody else receives from it.
bool is_received(const SlotsOfDevice& device, int lane, const CountDead& dead, Deadline deadline) {
  const unsigned alive = device.connections - dead() + 1;
  const auto running = wait_for_receivers(device.index, alive, deadline);
  // One more may have died meanwhile; then this one is given up with it.
  return running.value_or(alive) == alive && !has_ended(lane);
}

}  // namespace

Filled fill_slot(Netlink& netlink, const SlotsOfDevice& device, DriverEnds driver, int lane,
                 const CountDead& dead, Deadline deadline, Log& log) {
  ENSURE(driver && driver->size() == 1 && lane >= 0);
  const NetlinkResult result =
      netlink.add_connection(device.index, device.identifier, std::move(driver), deadline);
  if (result.is_ok() && !has_ended(lane) &&
      is_received(device, lane, dead, deadline.at_most(receiver_time))) {
    return Filled::yes;
  }
  ::shutdown(lane, SHUT_RDWR);
  log.debug("the driver did not take a connection",
            {{"index", std::to_string(device.index)}, {"netlink", result.words()}});
  const bool refused = !result.stuck && (result.error == EINVAL || result.error == ENOENT);
  return refused ? Filled::refused : Filled::not_yet;
}

}  // namespace nbdring
