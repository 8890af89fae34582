#include "cli/device_session.hpp"

#include <sys/timerfd.h>

#include <ctime>
#include <utility>

#include "cli/daemon.hpp"
#include "cli/in_use.hpp"
#include "cli/resize_device.hpp"
#include "cli/waits.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "kernel/sysfs.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

FileDescriptor new_timer() {
  FileDescriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.is_open()) fail_errno(FailureKind::failed, "cannot create a timer");
  return timer;
}

FileDescriptor every_minute() {
  FileDescriptor timer = new_timer();
  constexpr itimerspec minute{{60, 0}, {60, 0}};
  ENSURE(::timerfd_settime(timer.get(), 0, &minute, nullptr) == 0);
  return timer;
}

void arm(const FileDescriptor& timer, std::chrono::milliseconds after) {
  ENSURE(after.count() > 0);
  const itimerspec once{{0, 0}, {after.count() / 1000, after.count() % 1000 * 1'000'000}};
  ENSURE(::timerfd_settime(timer.get(), 0, &once, nullptr) == 0);
}

// A timerfd or an eventfd.
void lower(int fd) {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = ::read(fd, &count, sizeof count);
}

bool is_away(const BackendHealth& health) {
  return !health.state.empty() && health.state != "serving";
}

}  // namespace

ControlReply DeviceOwner::upgrade(const std::string&) {
  return {static_cast<int>(FailureKind::failed),
          "this device cannot be upgraded: its connections are those of the process that serves it",
          ""};
}

void DeviceOwner::lost(const Failure&) {
  ENSURE(!"a process without a keeper exchanges no backend");
}

DeviceSession::DeviceSession(const SessionParts& parts)
    : parts_(parts),
      control_(parts.loop, *this, parts.log),
      minute_(every_minute()),
      again_(new_timer()) {
  ENSURE(parts.control_listener >= 0 && parts.served.device().lanes() > 0);
}

Task<void> DeviceSession::run() {
  Scope scope(frames());
  scope.spawn(control_.accept_on(parts_.control_listener));
  scope.spawn(watch_lanes());
  scope.spawn(watch_repair());
  if (parts_.bounds_log) scope.spawn(watch_log());
  co_await finished_.wait();
  control_.stop();
  parts_.loop.cancel(parts_.served.device().attention_fd());
  parts_.loop.cancel(again_.get());
  parts_.loop.cancel(minute_.get());
  co_await scope.join();
}

void DeviceSession::finish() { finished_.raise(); }

Task<void> DeviceSession::watch_lanes() {
  // Where another device takes the place of the one that is looked at, the wait is cancelled.
  while (!finished_.raised()) {
    const int result = co_await parts_.loop.readable(parts_.served.device().attention_fd());
    if (result < 0 || finished_.raised()) continue;
    lower(parts_.served.device().attention_fd());
    look_at_lanes();
  }
}

Task<void> DeviceSession::watch_repair() {
  while (!finished_.raised()) {
    const int result = co_await parts_.loop.readable(again_.get());
    if (result < 0) break;
    lower(again_.get());
    look_at_lanes();
  }
}

void DeviceSession::look_at_lanes() {
  if (disconnected_ || finished_.raised() || parts_.owner.is_handed_over()) return;
  if (!parts_.served.device().has_ended()) {
    if (!repair_) {
      repair_ = std::make_unique<Repair>(parts_.served.device(), parts_.attachment,
                                         std::chrono::seconds(parts_.record.timeout), parts_.log);
    }
    const Repair::Outcome outcome = repair_->look();
    if (outcome == Repair::Outcome::waiting) arm(again_, repair_->pause());
    if (outcome != Repair::Outcome::over) return;
  }
  lanes_ended();
  finished_.raise();
}

Task<void> DeviceSession::watch_log() {
  while (!finished_.raised()) {
    const int result = co_await parts_.loop.readable(minute_.get());
    if (result < 0) break;
    lower(minute_.get());
    bound_log_file();
  }
}

// Nobody asked us: another tool disconnected the device, or the driver gave every connection up.
void DeviceSession::lanes_ended() {
  parts_.log.warning("the driver has ended the device", {{"device", parts_.record.device()}});
  // Where the device is gone altogether there is nothing to disconnect, which is as good.
  if (parts_.attachment.disconnect(disconnect_wait)) return;
  if (Sysfs().is_attached(parts_.record.index)) parts_.record_file.keep();
}

ControlReply DeviceSession::handle(const ControlRequest& request) {
  if (parts_.owner.is_handed_over()) {
    return {static_cast<int>(FailureKind::busy),
            parts_.record.device() + " has another engine now: ask again", ""};
  }
  switch (request.command) {
    case ControlRequest::Command::status:
      return status();
    case ControlRequest::Command::detach:
      return detach(request.force);
    case ControlRequest::Command::resize:
      return resize(request.size, request.force);
    case ControlRequest::Command::upgrade:
      return upgrade(request.program);
  }
  ENSURE(!"every command is handled");
  return {};
}

void DeviceSession::replied(const ControlRequest&, const ControlReply&) {
  if (disconnected_ || parts_.owner.is_handed_over()) finished_.raise();
}

ControlReply DeviceSession::status() const {
  ENSURE(parts_.served.device().lanes() == parts_.record.connections);
  std::vector<const LaneStats*> lanes;
  for (std::size_t i = 0; i < parts_.served.device().lanes(); ++i) {
    lanes.push_back(&parts_.served.device().stats(i));
  }
  DeviceStatus status =
      collect_status(parts_.record, lanes, std::time(nullptr), parts_.served.backend().health());
  status.lost_connections = parts_.served.device().lost_connections();
  status.refilled = parts_.served.device().replaced_connections();
  status.fenced = parts_.served.device().fenced_changes();
  parts_.owner.complete(status);
  return {0, "", to_json(status)};
}

ControlReply DeviceSession::upgrade(const std::string& program) {
  if (auto reply = refused_at_the_end()) return std::move(*reply);
  repair_.reset();  // as in resize()
  return parts_.owner.upgrade(program);
}

ControlReply DeviceSession::resize(std::optional<std::uint64_t> size, bool force) {
  if (auto reply = refused_at_the_end()) return std::move(*reply);
  const std::string reason = parts_.owner.fixed_size_reason();
  if (!reason.empty()) {
    return {static_cast<int>(FailureKind::failed),
            parts_.record.device() + " cannot be resized: " + reason, ""};
  }
  repair_.reset();  // another device may stand there afterwards
  ControlReply reply = resize_device(
      {parts_.served, parts_.attachment, parts_.record, parts_.record_file, parts_.log}, size,
      force);
  if (const auto& lost = parts_.served.lost()) parts_.owner.lost(*lost);
  return reply;
}

std::optional<ControlReply> DeviceSession::refused_at_the_end() const {
  if (!asked_ && !finished_.raised()) return std::nullopt;
  return ControlReply{static_cast<int>(FailureKind::busy),
                      parts_.record.device() + " is being detached already", ""};
}

ControlReply DeviceSession::detach(bool force) {
  const std::string device = parts_.record.device();
  if (auto reply = refused_at_the_end()) return std::move(*reply);
  if (!force) {
    const auto users = lasting_users_of(parts_.record.index, Deadline::in(passing_user_wait));
    if (!users.empty()) {
      return {static_cast<int>(FailureKind::busy), in_use_text(device, users), ""};
    }
  }
  const BackendHealth health = parts_.served.backend().health();
  if (!force && is_away(health) && health.volatile_writes > 0) {
    return {static_cast<int>(FailureKind::failed),
            device + " is not detached: " + health.endpoint + " is away, and " +
                std::to_string(health.volatile_writes) + " acknowledged writes wait for it",
            ""};
  }
  asked_ = true;
  if (auto reply = parts_.owner.ending()) return std::move(*reply);
  return disconnect(force);
}

// Requests wait in each of two looks, and none was answered in between.
bool DeviceSession::lanes_are_stuck() const {
  const Device& device = parts_.served.device();
  const auto answered = [&device](std::size_t lane) {
    std::uint64_t requests = 0;
    for (const auto& command : device.stats(lane).commands) requests += command.requests.get();
    return requests;
  };
  std::vector<std::uint64_t> before;
  for (std::size_t i = 0; i < device.lanes(); ++i) before.push_back(answered(i));
  const auto moves = [&] {
    for (std::size_t i = 0; i < device.lanes(); ++i) {
      if (device.stats(i).in_flight.get() > 0 && answered(i) == before[i]) return false;
    }
    return true;
  };
  return !wait_until(moves, Deadline::in(stuck_wait));
}

// The driver's DISCONNECT says goodbye on each connection, and waits for room in it, with generic
// netlink held for everybody on this machine: on connections that nobody reads it must not begin.
ControlReply DeviceSession::disconnect(bool force) {
  ENSURE(!disconnected_ && !finished_.raised());
  const auto wait = force ? forced_disconnect_wait : disconnect_wait;
  asked_ = disconnected_ = true;
  const bool is_gone = is_away(parts_.served.backend().health());
  if (is_gone) parts_.served.backend().abandon();
  if ((force && is_gone) || lanes_are_stuck()) parts_.served.device().stop();
  if (parts_.attachment.disconnect(wait / 2)) return {};
  parts_.served.backend().abandon();
  parts_.served.device().stop();
  if (parts_.attachment.disconnect(wait)) return {};
  parts_.record_file.keep();
  // Who forces knows that there are users: for them it is no failure.
  const int exit_code = force ? 0 : static_cast<int>(FailureKind::failed);
  return {exit_code, held_text(parts_.record.device()), ""};
}

}  // namespace nbdring
