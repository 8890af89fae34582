#include "kernel/attachment.hpp"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "client/protocol/nbd.hpp"
#include "client/runtime/error.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/module.hpp"
#include "kernel/netlink.hpp"
#include "kernel/node.hpp"
#include "kernel/queue.hpp"
#include "kernel/receivers.hpp"
#include "kernel/socket_pairs.hpp"
#include "kernel/sysfs.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr unsigned connections_max = 16;
constexpr std::uint32_t block_size_min = 512;
constexpr std::size_t identifier_bytes_max =
    1024;  // sysfs shows it on one page, netlink takes it in one message

constexpr std::uint32_t driver_request_max = 32 << 20;  // bytes; the driver's own limit

constexpr milliseconds busy_pause_first{10};
constexpr milliseconds busy_pause_longest{250};
constexpr milliseconds going_down_time{2000};  // how long a removed device may take to go
constexpr milliseconds receivers_time{2000};
constexpr milliseconds settle_time{10'000};
constexpr milliseconds undo_time{5000};

// What the driver understands (WRITE_ZEROES and ROTATIONAL: from Linux 6.12, ignored before).
constexpr std::uint16_t driver_flags =
    nbd::flag_has_flags | nbd::flag_read_only | nbd::flag_send_flush | nbd::flag_send_fua |
    nbd::flag_rotational | nbd::flag_send_trim | nbd::flag_send_write_zeroes;

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

}  // namespace

struct Attachment::State {
  AttachOptions options;
  Log& log;
  Sysfs sysfs;
  Netlink netlink;  // stays open for the device's life
  ConnectRequest request;
  std::uint64_t size = 0;  // bytes, whole blocks
  std::uint32_t request_size_max = 0;
  std::vector<FileDescriptor> lane_sockets;
  bool connected_once = false;  // the index is known
  bool attached = false;
  bool fresh = false;  // the index did not exist before: it is to vanish with us

  State(const AttachOptions& attach_options, Log& attach_log)
      : options(attach_options), log(attach_log) {}

  std::string path() const { return node_path(request.index); }

  void describe(const Export& about);
  void open_netlink(Deadline deadline);
  void connect_to_index(Deadline deadline);
  NetlinkResult try_index(std::uint32_t index, Deadline deadline);
  std::uint32_t free_index_from(std::uint32_t first) const;
  void refuse_attached(std::uint32_t index) const;
  Failure failure_of(const NetlinkResult& result) const;
  void make_ready(Deadline deadline);
  void make_workers(Deadline deadline);
  void set_size(Deadline deadline);
};

void Attachment::State::describe(const Export& about) {
  ENSURE(options.connections >= 1 && options.connections <= connections_max);
  ENSURE(options.timeout.count() > 0 && options.recovery_window.count() >= 0);
  if (options.identifier.size() > identifier_bytes_max) {
    throw Failure(FailureKind::usage, "the identity of the device has more than " +
                                          std::to_string(identifier_bytes_max) +
                                          " bytes: give a shorter --id");
  }
  const std::uint32_t block_size = options.block_size;
  const auto page_size = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
  if (block_size < about.block_size.minimum || block_size > page_size) {
    throw Failure(FailureKind::cannot_attach,
                  "the driver's blocks are " + std::to_string(block_size_min) + " to " +
                      std::to_string(page_size) + " bytes and this export's at least " +
                      std::to_string(about.block_size.minimum) + ", not " +
                      std::to_string(block_size) + ": choose another --block-size");
  }
  ENSURE(block_size >= block_size_min && (block_size & (block_size - 1)) == 0);
  const std::uint64_t rest = about.size % block_size;
  if (about.size - rest == 0) {
    throw Failure(FailureKind::failed, "the export has " + std::to_string(about.size) +
                                           " bytes: a device needs one block of " +
                                           std::to_string(block_size));
  }
  if (rest != 0) {
    log.warning("the end of the export cannot be reached: it is not a whole block",
                {{"bytes", std::to_string(rest)}, {"block-size", std::to_string(block_size)}});
  }
  size = about.size - rest;
  request.block_size = block_size;
  request.timeout_seconds = static_cast<std::uint64_t>(options.timeout.count());
  request.dead_connection_seconds = static_cast<std::uint64_t>(options.recovery_window.count());
  // Several connections are always right: one engine stands behind them all, so a FLUSH covers the
  // writes of each.
  request.server_flags =
      (about.transmission_flags & driver_flags) | nbd::flag_has_flags | nbd::flag_can_multi_conn;
  request.identifier = options.identifier;
  request_size_max =
      std::min({options.request_size_max, about.block_size.maximum, driver_request_max});
}

void Attachment::State::open_netlink(Deadline deadline) {
  const NetlinkResult result = netlink.open(deadline);
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

// The lowest number, as losetup has it. A number that is not there yet is as good: CONNECT makes
// the device.
std::uint32_t Attachment::State::free_index_from(std::uint32_t first) const {
  const std::uint32_t limit = index_limit(sysfs);
  for (std::uint32_t index = first; index <= limit; ++index) {
    if (!sysfs.is_attached(index)) return index;
  }
  throw Failure(FailureKind::busy, "all " + std::to_string(limit + 1) + " nbd devices are in use");
}

void Attachment::State::refuse_attached(std::uint32_t index) const {
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
NetlinkResult Attachment::State::try_index(std::uint32_t index, Deadline deadline) {
  const bool ours_already = fresh && index == request.index;
  fresh = ours_already || !sysfs.exists(index);
  request.index = index;
  request.client_flags = fresh ? nbd_netlink::destroy_on_disconnect : 0;
  return netlink.connect(request, deadline);
}

Failure Attachment::State::failure_of(const NetlinkResult& result) const {
  if (result.stuck) {
    return Failure(FailureKind::failed, "attaching " + path() +
                                            ": the driver does not answer; "
                                            "look for 'nbd' in dmesg");
  }
  if (result.error == EPERM) return needs_root();
  if (result.error == EBUSY) {
    std::string users;
    for (const std::string& user : users_of(request.index, sysfs)) users += " " + user + ";";
    return Failure(FailureKind::busy,
                   path() + " is in use:" + (users.empty() ? " somebody has it open;" : users) +
                       " free it or choose another device");
  }
  return Failure(FailureKind::cannot_attach,
                 "attaching " + path() + ": the driver refused: " + result.words());
}

// EBUSY: somebody has the node open, mostly udev and for a moment: it looks at a device that
// CONNECT has just made before CONNECT goes on. EINVAL: a device that was just disconnected is
// going down; other reasons for it do not pass. EEXIST: somebody else makes the same device.
void Attachment::State::connect_to_index(Deadline deadline) {
  const Deadline going_down = deadline.at_most(going_down_time);
  milliseconds pause = busy_pause_first;
  std::uint32_t index = options.index.value_or(0);
  while (true) {
    if (options.index) {
      refuse_attached(index);
    } else {
      index = free_index_from(index);
    }
    const NetlinkResult result = try_index(index, deadline);
    if (result.is_ok()) return;
    const bool busy = !result.stuck && result.error == EBUSY;
    const bool passing = !result.stuck && (result.error == EINVAL || result.error == EEXIST);
    if (busy && !options.index && !fresh) {
      ++index;
      continue;
    }
    const bool again = (busy && !deadline.has_passed()) || (passing && !going_down.has_passed());
    if (!again) throw failure_of(result);
    std::this_thread::sleep_for(std::min(pause, deadline.remaining()));
    pause = std::min(pause * 2, busy_pause_longest);
  }
}

// With sockets that nobody serves, for a device without a size: each try makes the kernel add a
// worker at least, and it keeps them for minutes.
void Attachment::State::make_workers(Deadline deadline) {
  for (unsigned tries = options.connections; tries > 0 && !deadline.has_passed(); --tries) {
    SocketPairs trial = make_socket_pairs(options.connections);
    request.sockets = std::move(trial.driver);
    connect_to_index(deadline);
    request.sockets.reset();
    const bool all_run = receivers_run(request.index, options.connections, deadline);
    const DisconnectTarget target{request.index, request.identifier, fresh};
    const DisconnectEnd end = disconnect_device(netlink, target, deadline, log);
    if (all_run || end != DisconnectEnd::done) return;
  }
}

// CONNECT came with no size, so that nothing was read from a device that is not in order yet.
void Attachment::State::set_size(Deadline deadline) {
  const NetlinkResult result = netlink.set_size(request.index, request.identifier, size, deadline);
  const auto has_size = [this] {
    const auto device = sysfs.device(request.index);
    return device && device->attached && device->size == size;
  };
  if (result.is_ok() && wait_until(has_size, deadline)) return;
  throw Failure(FailureKind::failed,
                path() + " did not get its size (" + result.words() + "): look for 'nbd' in dmesg");
}

void Attachment::State::make_ready(Deadline deadline) {
  if (!receivers_run(request.index, options.connections, deadline.at_most(receivers_time))) {
    throw ConnectAgain(FailureKind::failed,
                       path() + ": the kernel is too busy to serve every connection: try again");
  }
  if (!set_queue(request.index, request_size_max, sysfs, deadline, log)) {
    throw Failure(FailureKind::failed,
                  path() + " did not take its queue settings: look for 'nbd' in dmesg");
  }
  set_size(deadline);
  wait_for_node(request.index, sysfs, deadline);
  if (const int error = open_first(request.index, deadline)) {
    throw Failure(FailureKind::failed, path() + " does not open: " + error_text(error) +
                                           "; its backend did not answer the first reads");
  }
  settle_udev(deadline.at_most(settle_time), log);
}

Attachment::Attachment(const Export& about, const AttachOptions& options, Log& log)
    : state_(std::make_unique<State>(options, log)) {
  state_->describe(about);
  if (!may_administrate()) throw needs_root();
  constexpr milliseconds module_time{20'000};
  load_driver(log, Deadline::in(module_time));
  const std::uint32_t limit = index_limit(state_->sysfs);
  if (options.index.value_or(0) > limit) {
    throw Failure(FailureKind::not_found, node_path(*options.index) +
                                              " cannot exist: the driver has " + "devices 0 to " +
                                              std::to_string(limit));
  }
  SocketPairs pairs = make_socket_pairs(options.connections);
  state_->lane_sockets = std::move(pairs.lanes);
  state_->request.sockets = std::move(pairs.driver);
}

Attachment::~Attachment() {
  if (state_->attached) disconnect(undo_time);
}

std::vector<FileDescriptor> Attachment::take_lane_sockets() {
  ENSURE(!state_->lane_sockets.empty());
  return std::exchange(state_->lane_sockets, {});
}

void Attachment::connect(milliseconds time) {
  ENSURE(!state_->attached && state_->lane_sockets.empty());
  const Deadline deadline = Deadline::in(time);
  state_->open_netlink(deadline);
  state_->connect_to_index(deadline);
  state_->attached = state_->connected_once = true;
  // The driver has references of its own; with ours open the lanes would never see an end.
  state_->request.sockets.reset();
  try {
    state_->make_ready(deadline);
  } catch (const ConnectAgain&) {
    if (disconnect(undo_time)) state_->make_workers(deadline);
    throw;
  } catch (const Failure&) {
    disconnect(undo_time);
    throw;
  }
}

std::uint32_t Attachment::index() const {
  ENSURE(state_->connected_once);
  return state_->request.index;
}

std::string Attachment::path() const { return node_path(index()); }

bool Attachment::disconnect(milliseconds time) {
  if (!state_->attached) return !state_->connected_once || !state_->sysfs.is_attached(index());
  const Deadline deadline = Deadline::in(time);
  // Whoever closed the device last made udev look at it: its reads are to be answered, not to fail
  // in the kernel's log.
  settle_udev(deadline.at_most(time / 3), state_->log);
  const DisconnectTarget target{state_->request.index, state_->request.identifier, state_->fresh};
  const DisconnectEnd end = disconnect_device(state_->netlink, target, deadline, state_->log);
  state_->attached = end == DisconnectEnd::stuck || end == DisconnectEnd::refused;
  return end == DisconnectEnd::done;
}

}  // namespace nbdring
