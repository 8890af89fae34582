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

FileDescriptor every_minute() {
  FileDescriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.is_open()) fail_errno(FailureKind::failed, "cannot create a timer");
  constexpr itimerspec minute{{60, 0}, {60, 0}};
  ENSURE(::timerfd_settime(timer.get(), 0, &minute, nullptr) == 0);
  return timer;
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

DeviceSession::DeviceSession(const SessionParts& parts)
    : parts_(parts), control_(parts.loop, *this, parts.log), minute_(every_minute()) {
  ENSURE(parts.control_listener >= 0 && parts.served.device().lanes() > 0);
}

Task<void> DeviceSession::run() {
  Scope scope(frames());
  scope.spawn(control_.accept_on(parts_.control_listener));
  scope.spawn(watch_lanes());
  if (parts_.bounds_log) scope.spawn(watch_log());
  co_await finished_.wait();
  control_.stop();
  parts_.loop.cancel(parts_.served.device().ended_fd());
  parts_.loop.cancel(minute_.get());
  co_await scope.join();
}

void DeviceSession::finish() { finished_.raise(); }

Task<void> DeviceSession::watch_lanes() {
  const int result = co_await parts_.loop.readable(parts_.served.device().ended_fd());
  if (result < 0 || disconnected_) co_return;
  lanes_ended();
  finished_.raise();
}

Task<void> DeviceSession::watch_log() {
  while (!finished_.raised()) {
    const int result = co_await parts_.loop.readable(minute_.get());
    if (result < 0) break;
    std::uint64_t ticks = 0;
    [[maybe_unused]] const ssize_t bytes = ::read(minute_.get(), &ticks, sizeof ticks);
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
  if (disconnected_) finished_.raise();
}

ControlReply DeviceSession::status() const {
  ENSURE(parts_.served.device().lanes() == parts_.record.connections);
  std::vector<const LaneStats*> lanes;
  for (std::size_t i = 0; i < parts_.served.device().lanes(); ++i) {
    lanes.push_back(&parts_.served.device().stats(i));
  }
  DeviceStatus status =
      collect_status(parts_.record, lanes, std::time(nullptr), parts_.served.backend().health());
  parts_.owner.complete(status);
  return {0, "", to_json(status)};
}

ControlReply DeviceSession::upgrade(const std::string& program) {
  if (auto reply = refused_at_the_end()) return std::move(*reply);
  return parts_.owner.upgrade(program);
}

ControlReply DeviceSession::resize(std::optional<std::uint64_t> size, bool force) {
  if (auto reply = refused_at_the_end()) return std::move(*reply);
  const std::string reason = parts_.owner.fixed_size_reason();
  if (!reason.empty()) {
    return {static_cast<int>(FailureKind::failed),
            parts_.record.device() + " cannot be resized: " + reason, ""};
  }
  return resize_device(
      {parts_.served, parts_.attachment, parts_.record, parts_.record_file, parts_.log}, size,
      force);
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

ControlReply DeviceSession::disconnect(bool force) {
  ENSURE(!disconnected_ && !finished_.raised());
  asked_ = disconnected_ = true;
  // What waits for a server that is away holds the driver's connections full.
  if (is_away(parts_.served.backend().health())) parts_.served.backend().abandon();
  if (parts_.attachment.disconnect(disconnect_wait / 2)) return {};
  parts_.served.backend().abandon();
  // Where the backend hangs the driver waits for room in the lanes' sockets; without them it lets
  // go.
  parts_.served.device().stop();
  if (parts_.attachment.disconnect(disconnect_wait)) return {};
  parts_.record_file.keep();
  // Who forces knows that there are users: for them it is no failure.
  const int exit_code = force ? 0 : static_cast<int>(FailureKind::failed);
  return {exit_code, held_text(parts_.record.device()), ""};
}

}  // namespace nbdring
