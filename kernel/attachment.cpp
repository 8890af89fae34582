#include "kernel/attachment.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "client/runtime/error.hpp"
#include "kernel/connect.hpp"
#include "kernel/device_shape.hpp"
#include "kernel/disconnect.hpp"
#include "kernel/module.hpp"
#include "kernel/netlink.hpp"
#include "kernel/node.hpp"
#include "kernel/queue.hpp"
#include "kernel/receivers.hpp"
#include "kernel/slots.hpp"
#include "kernel/socket_pairs.hpp"
#include "kernel/sysfs.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds receivers_time{2000};
constexpr milliseconds old_receivers_time{200};
constexpr milliseconds settle_time{10'000};
constexpr milliseconds undo_time{5000};

FileDescriptor copy_of(const FileDescriptor& socket) {
  FileDescriptor copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.is_open()) fail_errno(FailureKind::failed, "a copy of a lane's socket");
  return copy;
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
  std::vector<FileDescriptor> lane_copies;  // until connected or adopted
  bool connected_once = false;              // the index is known
  bool attached = false;

  State(const AttachOptions& attach_options, Log& attach_log, FileDescriptor socket)
      : options(attach_options), log(attach_log), netlink(std::move(socket)) {}

  std::string path() const { return node_path(request.index); }

  void make_ready(Deadline deadline);
  void make_workers(Deadline deadline);
  void set_size(std::uint64_t bytes, Deadline deadline);
  void hold(std::uint32_t index, bool fresh);
  bool is_held() const;
  SlotsOfDevice slots() const { return {request.index, request.identifier, options.connections}; }
  void keep_waiting_as_asked(Deadline deadline);
  unsigned fill_every_slot(Deadline deadline);
  bool slot_is_free(const CountDead& dead, Deadline deadline);
  bool refill(DriverEnds socket, int lane, const CountDead& dead, Deadline deadline);
};

// With sockets that nobody serves, for a device without a size: each try makes the kernel add a
// worker at least, and it keeps them for minutes.
void Attachment::State::make_workers(Deadline deadline) {
  for (unsigned tries = options.connections; tries > 0 && !deadline.has_passed(); --tries) {
    SocketPairs trial = make_socket_pairs(options.connections);
    request.sockets = std::move(trial.driver);
    connect_index(netlink, request, options.index, deadline, log);
    request.sockets.reset();
    const bool all_run = receivers_run(request.index, options.connections, deadline);
    const DisconnectTarget target{request.index, request.identifier, vanishes(request)};
    const DisconnectEnd end = disconnect_device(netlink, target, deadline, log);
    if (all_run || end != DisconnectEnd::done) return;
  }
}

void Attachment::State::set_size(std::uint64_t bytes, Deadline deadline) {
  const NetlinkResult result = netlink.set_size(request.index, request.identifier, bytes, deadline);
  const auto has_size = [this, bytes] {
    const auto device = sysfs.device(request.index);
    return device && device->attached && device->size == bytes;
  };
  if (!result.is_ok() || !wait_until(has_size, deadline)) {
    throw Failure(FailureKind::failed, path() + " did not get its size (" + result.words() +
                                           "): look for 'nbd' in dmesg");
  }
  size = bytes;
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
  // CONNECT came with no size, so that nothing was read from a device that is not in order yet.
  set_size(size, deadline);
  wait_for_node(request.index, sysfs, deadline);
  if (const int error = open_first(request.index, deadline)) {
    throw Failure(FailureKind::failed, path() + " does not open: " + error_text(error) +
                                           "; its backend did not answer the first reads");
  }
  settle_udev(deadline.at_most(settle_time), log);
}

void Attachment::State::hold(std::uint32_t index, bool fresh) {
  ENSURE(!attached);
  request.index = index;
  request.client_flags = fresh ? nbd_netlink::destroy_on_disconnect : 0;
  attached = connected_once = true;
}

bool Attachment::State::is_held() const {
  const auto device = sysfs.device(request.index);
  return device && device->attached && device->backend == request.identifier;
}

// Who tried to end the device before may have lowered it.
void Attachment::State::keep_waiting_as_asked(Deadline deadline) {
  const NetlinkResult result = netlink.set_dead_connection_timeout(
      request.index, request.identifier, request.dead_connection_seconds, deadline);
  if (!result.is_ok()) log.warning("recovery window not set", {{"why", result.words()}});
}

// Returns how many connections the driver took.
unsigned Attachment::State::fill_every_slot(Deadline deadline) {
  unsigned filled = 0;
  const auto dead = [&filled, this] { return options.connections - filled; };
  std::vector<DriverEnds> ends;
  for (const FileDescriptor& end : *request.sockets) {
    auto one = std::make_shared<std::vector<FileDescriptor>>();
    one->push_back(copy_of(end));
    ends.push_back(std::move(one));
  }
  request.sockets.reset();
  for (unsigned i = 0; i < options.connections; ++i) {
    const int lane = lane_copies[i].get();
    const Filled result =
        fill_slot(netlink, slots(), std::move(ends[i]), lane, dead, deadline, log);
    if (result == Filled::refused) break;
    if (result == Filled::yes) {
      ++filled;
    } else {
      receivers_ended(request.index, filled, deadline.at_most(old_receivers_time));
    }
  }
  return filled;
}

bool Attachment::State::slot_is_free(const CountDead& dead, Deadline deadline) {
  ENSURE(attached);
  const unsigned alive = options.connections - dead();
  return receivers_ended(request.index, alive, deadline.at_most(old_receivers_time));
}

bool Attachment::State::refill(DriverEnds socket, int lane, const CountDead& dead,
                               Deadline deadline) {
  const Filled result = fill_slot(netlink, slots(), std::move(socket), lane, dead, deadline, log);
  if (result == Filled::refused) {
    throw Failure(FailureKind::failed, path() +
                                           " takes no connections any more: the driver has "
                                           "ended it");
  }
  return result == Filled::yes;
}

Attachment::Attachment(const Export& about, const AttachOptions& options, Log& log,
                       FileDescriptor netlink)
    : state_(std::make_unique<State>(options, log, std::move(netlink))) {
  DeviceShape shape = shape_of(about, options, log);
  state_->request = std::move(shape.request);
  state_->size = shape.size;
  state_->request_size_max = shape.request_size_max;
  if (!may_administrate()) throw needs_root();
  constexpr milliseconds module_time{20'000};
  load_driver(log, Deadline::in(module_time));
  const std::uint32_t limit = index_limit(state_->sysfs);
  if (options.index.value_or(0) > limit) {
    throw Failure(FailureKind::not_found, node_path(*options.index) +
                                              " cannot exist: the driver has " + "devices 0 to " +
                                              std::to_string(limit));
  }
}

Attachment::~Attachment() {
  if (state_->attached) disconnect(undo_time);
}

std::vector<FileDescriptor> Attachment::take_lane_sockets() {
  ENSURE(!state_->connected_once && !state_->request.sockets);
  SocketPairs pairs = make_socket_pairs(state_->options.connections);
  state_->request.sockets = std::move(pairs.driver);
  for (const FileDescriptor& lane : pairs.lanes) state_->lane_copies.push_back(copy_of(lane));
  return std::move(pairs.lanes);
}

void Attachment::give_sockets(std::vector<FileDescriptor> sockets) {
  ENSURE(!state_->connected_once && sockets.size() == state_->options.connections);
  state_->request.sockets = std::make_shared<std::vector<FileDescriptor>>(std::move(sockets));
}

void Attachment::connect(milliseconds time) {
  ENSURE(!state_->attached && state_->request.sockets);
  state_->lane_copies.clear();
  const Deadline deadline = Deadline::in(time);
  open_family(state_->netlink, deadline, state_->log);
  connect_index(state_->netlink, state_->request, state_->options.index, deadline, state_->log);
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

void Attachment::adopt(std::uint32_t index, bool fresh, milliseconds time) {
  State& state = *state_;
  ENSURE(!state.connected_once && state.request.sockets);
  const Deadline deadline = Deadline::in(time);
  state.request.index = index;
  if (!state.is_held()) {
    throw Failure(FailureKind::not_found, node_path(index) + " is not attached as '" +
                                              state.request.identifier +
                                              "' any more: attach it again");
  }
  state.keep_waiting_as_asked(deadline);
  receivers_ended(index, 0, deadline);
  const unsigned filled = state.fill_every_slot(deadline);
  state.lane_copies.clear();
  if (filled == 0) {
    throw Failure(FailureKind::failed, node_path(index) +
                                           " took no new connection: look for 'nbd' in dmesg, "
                                           "or detach it with --force");
  }
  state.hold(index, fresh);
}

void Attachment::take_over(std::uint32_t index, bool fresh) {
  ENSURE(!state_->request.sockets);
  state_->hold(index, fresh);
}

std::optional<FileDescriptor> Attachment::refill(const std::function<unsigned()>& dead,
                                                 milliseconds time) {
  const Deadline deadline = Deadline::in(time);
  if (!state_->slot_is_free(dead, deadline)) return std::nullopt;
  SocketPairs pair = make_socket_pairs(1);
  const int lane = pair.lanes.front().get();
  if (!state_->refill(std::move(pair.driver), lane, dead, deadline)) return std::nullopt;
  return std::move(pair.lanes.front());
}

bool Attachment::refill_with(FileDescriptor socket, const std::function<unsigned()>& dead,
                             milliseconds time) {
  const Deadline deadline = Deadline::in(time);
  const FileDescriptor ours = copy_of(socket);
  auto one = std::make_shared<std::vector<FileDescriptor>>();
  one->push_back(std::move(socket));
  if (state_->slot_is_free(dead, deadline)) {
    return state_->refill(std::move(one), ours.get(), dead, deadline);
  }
  ::shutdown(ours.get(), SHUT_RDWR);
  return false;
}

bool Attachment::is_held() const { return state_->attached && state_->is_held(); }

void Attachment::set_size(std::uint64_t bytes, milliseconds time) {
  State& state = *state_;
  ENSURE(state.attached);
  const std::uint64_t whole = bytes - bytes % state.options.block_size;
  const unsigned wanted = state.options.connections;
  if (whole == 0) {
    throw Failure(FailureKind::failed, path() + " cannot become smaller than one block of " +
                                           std::to_string(state.options.block_size) + " bytes");
  }
  if (running_receivers(index()).value_or(wanted) < wanted) {
    throw Failure(FailureKind::busy,
                  path() +
                      " has lost a connection, and a size can only be set while all are alive: "
                      "try again");
  }
  state.set_size(whole, Deadline::in(time));
  state.sysfs.announce_change(index());
}

void Attachment::release() noexcept { state_->attached = false; }

bool Attachment::is_fresh() const { return vanishes(state_->request); }

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
  const DisconnectTarget target{state_->request.index, state_->request.identifier,
                                vanishes(state_->request)};
  const DisconnectEnd end = disconnect_device(state_->netlink, target, deadline, state_->log);
  state_->attached = end == DisconnectEnd::stuck || end == DisconnectEnd::refused;
  return end == DisconnectEnd::done;
}

}  // namespace nbdring
