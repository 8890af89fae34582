#include "cli/direct_device.hpp"

#include <unistd.h>

#include <ctime>
#include <utility>

#include "cli/daemon.hpp"
#include "cli/direct_status.hpp"
#include "cli/in_use.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "kernel/node.hpp"
#include "kernel/sysfs.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds names_wait{10};
constexpr std::chrono::minutes log_look{1};

DeviceRecord record_here(DeviceRecord record, int keeper) {
  record.pid = ::getpid();
  record.keeper = keeper;
  return record;
}

FileDescriptor lock_of(EngineLink& link) {
  auto lock = link.find(EngineLink::lock_name);
  return lock ? std::move(*lock) : FileDescriptor();
}

// The kernel's counters, which change with each answer.
std::string stat_of(std::uint32_t index) {
  return Sysfs().line("/sys/block/" + device_name(index) + "/stat").value_or("");
}

}  // namespace

DirectDevice::DirectDevice(Loop& loop, const DirectSource& source, DirectStart start,
                           const RunFolder& folder, EngineLink& link, DeviceOwner& owner, Log& log)
    : loop_(loop),
      owner_(owner),
      log_(log),
      attachment_(std::move(start.attachment)),
      record_(record_here(std::move(start.record), link.keeper())),
      record_file_(folder, record_, lock_of(link)),
      listener_(folder.socket_path(record_.index), start.is_new
                                                       ? UnixListener::Taken::refuse_or_remove
                                                       : UnixListener::Taken::replace),
      links_({loop, source, *attachment_, link, log}, std::move(start.attached),
             std::move(start.connections)),
      control_(loop, *this, log),
      bounds_log_(start.bounds_log) {
  link.keep(EngineLink::lock_name, record_file_.lock());
  link.attached(record_);
  if (!start.is_new) return;
  Sysfs().announce_change(record_.index);
  settle_udev(Deadline::in(names_wait), log);
}

DirectDevice::~DirectDevice() = default;

void DirectDevice::keeper_is(int process) {
  record_.keeper = process;
  record_file_.update(record_);
}

Task<void> DirectDevice::run() {
  Scope scope(frames());
  scope.spawn(control_.accept_on(listener_.fd()));
  scope.spawn(watch_links());
  if (bounds_log_) scope.spawn(watch_log());
  co_await finished_.wait();
  control_.stop();
  links_.stop();
  loop_.hurry();
  co_await scope.join();
}

void DirectDevice::finish() { finished_.raise(); }

void DirectDevice::leave() {
  attachment_->release();
  record_file_.hand_over();
}

// Where nobody asked us another tool has disconnected the device.
Task<void> DirectDevice::watch_links() {
  co_await links_.run();
  if (!links_.is_over() || disconnected_ || finished_.raised() || owner_.is_handed_over()) {
    co_return;
  }
  log_.warning("the driver has ended the device", {{"device", record_.device()}});
  if (!attachment_->disconnect(disconnect_wait) && Sysfs().is_attached(record_.index)) {
    record_file_.keep();
  }
  finish();
}

Task<void> DirectDevice::watch_log() {
  while (!finished_.raised()) {
    co_await loop_.sleep(log_look);
    bound_log_file();
  }
}

ControlReply DirectDevice::refused(FailureKind kind, const std::string& why) const {
  return {static_cast<int>(kind), record_.device() + " " + why, ""};
}

ControlReply DirectDevice::handle(const ControlRequest& request) {
  if (owner_.is_handed_over()) {
    return refused(FailureKind::busy, "has another engine now: ask again");
  }
  if (request.command == ControlRequest::Command::status) return status();
  if (asked_ || finished_.raised()) {
    return refused(FailureKind::busy, "is being detached already");
  }
  if (request.command == ControlRequest::Command::detach) return detach(request.force);
  if (request.command == ControlRequest::Command::upgrade) return owner_.upgrade(request.program);
  return refused(FailureKind::failed,
                 "cannot be resized: the driver talks to the server itself (--path kernel); "
                 "detach it and attach it again");
}

void DirectDevice::replied(const ControlRequest&, const ControlReply&) {
  if (disconnected_ || owner_.is_handed_over()) finish();
}

ControlReply DirectDevice::status() const {
  std::vector<bool> alive;
  for (std::size_t i = 0; i < links_.size(); ++i) alive.push_back(links_.is_alive(i));
  DeviceStatus status = direct_status(record_, alive, links_.health(), stat_of(record_.index),
                                      Sysfs().in_flight(record_.index), std::time(nullptr));
  status.lost_connections = links_.lost();
  status.refilled = links_.health().reconnects;
  owner_.complete(status);
  return {0, "", to_json(status)};
}

ControlReply DirectDevice::detach(bool force) {
  if (!force) {
    const auto users = lasting_users_of(record_.index, Deadline::in(passing_user_wait));
    if (!users.empty()) {
      return {static_cast<int>(FailureKind::busy), in_use_text(record_.device(), users), ""};
    }
    if (links_.alive() == 0) {
      return refused(FailureKind::failed, "is not detached: " + links_.health().endpoint +
                                              " is away; wait for it, or detach with --force");
    }
  }
  asked_ = true;
  if (auto reply = owner_.ending()) return std::move(*reply);
  return disconnect(force);
}

// Requests wait in each of two looks, and none was answered in between.
bool DirectDevice::requests_are_stuck() const {
  const std::uint32_t index = record_.index;
  const auto done = [index] {
    std::uint64_t requests = 0;
    for (const auto& command : commands_of_stat(stat_of(index))) requests += command.requests;
    return requests;
  };
  const std::uint64_t before = done();
  const auto moves = [&] { return Sysfs().in_flight(index) == 0 || done() != before; };
  return !wait_until(moves, Deadline::in(stuck_wait));
}

// As in DeviceSession: DISCONNECT must not begin on connections that nobody reads.
ControlReply DirectDevice::disconnect(bool force) {
  ENSURE(!disconnected_ && !finished_.raised());
  const auto wait = force ? forced_disconnect_wait : disconnect_wait;
  disconnected_ = true;
  const bool is_away = links_.alive() == 0;
  links_.stop();
  if (is_away || requests_are_stuck()) links_.shut_down();
  if (attachment_->disconnect(wait / 2)) return {};
  links_.shut_down();
  if (attachment_->disconnect(wait)) return {};
  record_file_.keep();
  const int exit_code = force ? 0 : static_cast<int>(FailureKind::failed);
  return {exit_code, held_text(record_.device()), ""};
}

}  // namespace nbdring
