#include "kernel/connect.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include "kernel/module.hpp"
#include "kernel/node.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds busy_pause_first{10};
constexpr milliseconds busy_pause_longest{250};
constexpr milliseconds going_down_time{2000};  // how long a removed device may take to go

// The lowest number, as losetup has it. A number that is not there yet is as good: CONNECT makes
// the device.
std::uint32_t free_index_from(std::uint32_t first, const Sysfs& sysfs) {
  const std::uint32_t limit = index_limit(sysfs);
  for (std::uint32_t index = first; index <= limit; ++index) {
    if (!sysfs.is_attached(index)) return index;
  }
  throw Failure(FailureKind::busy, "all " + std::to_string(limit + 1) + " nbd devices are in use");
}

void refuse_attached(std::uint32_t index, const Sysfs& sysfs) {
  const auto device = sysfs.device(index);
  if (!device || !device->attached) return;
  throw Failure(FailureKind::busy, node_path(index) + " is attached already (backend \"" +
                                       device->backend + "\", thread " +
                                       std::to_string(device->thread) +
                                       "): detach it or choose another");
}

// A device that we made is to vanish with us: an index that is used again keeps limits of its
// former export (Linux 6.12: WRITE_ZEROES), and empty devices are probed and listed for nothing.
// One that was there before stays.
NetlinkResult try_index(Netlink& netlink, ConnectRequest& request, std::uint32_t index,
                        Deadline deadline) {
  const bool ours_already = vanishes(request) && index == request.index;
  const bool fresh = ours_already || !Sysfs().exists(index);
  request.index = index;
  request.client_flags = fresh ? nbd_netlink::destroy_on_disconnect : 0;
  return netlink.connect(request, deadline);
}

Failure failure_of(const NetlinkResult& result, std::uint32_t index) {
  const std::string path = node_path(index);
  if (result.stuck) {
    return Failure(FailureKind::failed, "attaching " + path +
                                            ": the driver does not answer; "
                                            "look for 'nbd' in dmesg");
  }
  if (result.error == EPERM) return needs_root();
  if (result.error == EBUSY) {
    std::string users;
    for (const std::string& user : users_of(index)) users += " " + user + ";";
    return Failure(FailureKind::busy,
                   path + " is in use:" + (users.empty() ? " somebody has it open;" : users) +
                       " free it or choose another device");
  }
  return Failure(FailureKind::cannot_attach,
                 "attaching " + path + ": the driver refused: " + result.words());
}

/// What may pass by itself. EBUSY: somebody has the node open, mostly udev and for a moment: it
/// looks at a device that CONNECT has just made before CONNECT goes on. EINVAL: a device that was
/// just disconnected is going down; other reasons for it do not pass. EEXIST: somebody else makes
/// the same device. ENODEV, ENOENT: the module is being unloaded, or was.
bool may_pass(const NetlinkResult& result, Deadline deadline, Deadline going_down) {
  if (result.stuck) return false;
  if (result.error == EBUSY) return !deadline.has_passed();
  const bool passing = result.error == EINVAL || result.error == EEXIST || result.error == ENODEV ||
                       result.error == ENOENT;
  return passing && !going_down.has_passed();
}

}  // namespace

Failure needs_root() {
  return Failure(FailureKind::cannot_attach,
                 "attaching needs root (CAP_SYS_ADMIN, outside of containers' user namespaces): "
                 "run as root");
}

// max_part as the driver rounded it: it uses so many minor numbers for each device that a power of
// two of them fits.
std::uint32_t index_limit(const Sysfs& sysfs) {
  constexpr std::uint32_t minors = 1U << 20;
  std::uint32_t minors_per_device = 1;
  const std::uint64_t partitions = sysfs.module_parameter("max_part").value_or(0);
  while (minors_per_device <= partitions && minors_per_device < minors) minors_per_device *= 2;
  return minors / minors_per_device - 1;
}

// Where the module was unloaded since we loaded it, it is loaded again.
void open_family(Netlink& netlink, Deadline deadline, Log& log) {
  const Deadline going_down = deadline.at_most(going_down_time);
  NetlinkResult result = netlink.open(deadline);
  while (!result.stuck && result.error == ENOENT && !going_down.has_passed()) {
    std::this_thread::sleep_for(busy_pause_first);
    load_driver(log, deadline);
    result = netlink.open(deadline);
  }
  if (result.is_ok()) return;
  if (result.stuck) {
    throw Failure(FailureKind::failed,
                  "generic netlink does not answer: some device's disconnect hangs in the kernel; "
                  "look for 'nbd' in dmesg");
  }
  if (result.error == ENOENT) {
    throw Failure(FailureKind::cannot_attach,
                  driver_missing_text(running_kernel(), "no netlink family nbd"));
  }
  fail_errno(FailureKind::cannot_attach, "netlink", result.error);
}

void connect_index(Netlink& netlink, ConnectRequest& request, std::optional<std::uint32_t> wanted,
                   Deadline deadline, Log& log) {
  const Sysfs sysfs;
  const Deadline going_down = deadline.at_most(going_down_time);
  milliseconds pause = busy_pause_first;
  std::uint32_t index = wanted.value_or(0);
  while (true) {
    if (wanted) {
      refuse_attached(index, sysfs);
    } else {
      index = free_index_from(index, sysfs);
    }
    const NetlinkResult result = try_index(netlink, request, index, deadline);
    if (result.is_ok()) return;
    if (!result.stuck && result.error == EBUSY && !wanted && !vanishes(request)) {
      ++index;
      continue;
    }
    if (!may_pass(result, deadline, going_down)) throw failure_of(result, index);
    std::this_thread::sleep_for(std::min(pause, deadline.remaining()));
    pause = std::min(pause * 2, busy_pause_longest);
    if (result.error == ENOENT) open_family(netlink, deadline, log);
  }
}

}  // namespace nbdring
