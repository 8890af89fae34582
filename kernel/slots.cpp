#include "kernel/slots.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "client/runtime/error.hpp"
#include "kernel/receivers.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds old_receivers_time{200};
constexpr milliseconds receiver_time{1000};
constexpr milliseconds blind_pause{100};  // where receivers cannot be counted

bool has_ended(int lane) {
  pollfd end{lane, 0, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR)) != 0;
}

/// The new connection has its receiver, and nobody else receives from it.
bool is_received(const SlotsOfDevice& device, int lane, const CountDead& dead, Deadline deadline) {
  const auto alive = [&] { return device.connections - std::min(dead(), device.connections) + 1; };
  if (!receivers_run(device.index, alive(), deadline)) return false;
  const bool no_more = running_receivers(device.index).value_or(0) <= alive();
  return no_more && !has_ended(lane);
}

}  // namespace

bool receivers_ended(std::uint32_t index, unsigned left, Deadline deadline) {
  if (!running_receivers(index)) {
    std::this_thread::sleep_for(std::min(blind_pause, deadline.remaining()));
    return true;
  }
  const auto ended = [index, left] { return running_receivers(index).value_or(0) <= left; };
  return wait_until(ended, deadline);
}

Filled fill_slot(Netlink& netlink, const SlotsOfDevice& device, DriverEnds driver, int lane,
                 const CountDead& dead, Deadline deadline, Log& log) {
  ENSURE(driver && driver->size() == 1 && lane >= 0);
  const unsigned known_dead = dead();
  ENSURE(known_dead >= 1 && known_dead <= device.connections);
  const unsigned alive = device.connections - known_dead;
  if (!receivers_ended(device.index, alive, deadline.at_most(old_receivers_time))) {
    ::shutdown(lane, SHUT_RDWR);
    return Filled::not_yet;
  }
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
