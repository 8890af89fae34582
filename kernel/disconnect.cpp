#include "kernel/disconnect.hpp"

#include <algorithm>

#include "client/runtime/error.hpp"
#include "kernel/module.hpp"
#include "kernel/node.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

// I/O that waits for a connection to come back would hold DISCONNECT up to the recovery window
// (before Linux 5.19), and I/O that comes between the two calls would begin to wait.
constexpr std::uint64_t dead_connection_seconds_at_end = 1;

constexpr std::chrono::milliseconds removal_time{2000};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

bool driver_lets_go(const DisconnectTarget& target, const Sysfs& sysfs, Deadline deadline) {
  const auto is_free = [&] { return !sysfs.is_attached(target.index); };
  if (!wait_until(is_free, deadline)) return false;
  // The next user of this number would be told that it is going down. Not worth a failure.
  const auto is_gone = [&] { return !sysfs.exists(target.index); };
  if (target.destroyed) wait_until(is_gone, deadline.at_most(removal_time));
  return true;
}

}  // namespace

DisconnectEnd disconnect_device(Netlink& netlink, const DisconnectTarget& target, Deadline deadline,
                                Log& log) {
  const std::string path = node_path(target.index);
  const Sysfs sysfs;
  // Its failure changes nothing: the device may have no living server at all, or be gone.
  const NetlinkResult lowered = netlink.set_dead_connection_timeout(
      target.index, target.identifier, dead_connection_seconds_at_end,
      deadline.at_most(deadline.remaining() / 4));
  if (!lowered.is_ok()) log.debug("recovery window not lowered", {{"why", lowered.words()}});

  const NetlinkResult result = netlink.disconnect(target.index, deadline);
  const bool gone_already = !result.stuck && !sysfs.is_attached(target.index);
  if (!result.is_ok() && !gone_already) {
    log.error(path + " could not be disconnected: " + result.words());
    return result.stuck ? DisconnectEnd::stuck : DisconnectEnd::refused;
  }
  if (!driver_lets_go(target, sysfs, deadline)) {
    const std::string users = joined(users_of(target.index, sysfs));
    log.warning(path + " has no server any more, but is still in use (" +
                (users.empty() ? "by somebody in the kernel" : users) +
                "); it is free with its last user");
    return DisconnectEnd::held;
  }
  // The driver announces the end before the device looks ended (`pid` goes last): systemd's device
  // unit would stay up.
  sysfs.announce_change(target.index);
  return DisconnectEnd::done;
}

DisconnectEnd disconnect_index(std::uint32_t index, std::chrono::milliseconds time, Log& log) {
  const Deadline deadline = Deadline::in(time);
  const auto device = Sysfs().device(index);
  if (!device || !device->attached) return DisconnectEnd::done;
  if (!may_administrate()) {
    throw Failure(FailureKind::cannot_attach,
                  "disconnecting " + node_path(index) + " needs root (CAP_SYS_ADMIN): run as root");
  }
  Netlink netlink;
  const NetlinkResult opened = netlink.open(deadline);
  if (opened.stuck) {
    log.error(node_path(index) + " could not be disconnected: generic netlink does not answer");
    return DisconnectEnd::stuck;
  }
  if (!opened.is_ok()) fail_errno(FailureKind::cannot_attach, "netlink family nbd", opened.error);
  const DisconnectTarget target{index, device->backend, false};
  return disconnect_device(netlink, target, deadline, log);
}

}  // namespace nbdring
