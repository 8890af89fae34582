#include "cli/direct_engine.hpp"

#include <unistd.h>

#include <ctime>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds users_look{500};  // see engine.cpp

}  // namespace

int DirectEngine::run() {
  loop_.run(serve());
  return exit_code_;
}

Task<void> DirectEngine::serve() {
  Scope scope(frames());
  parts_.link.serving();
  scope.spawn(watch_signals());
  scope.spawn(watch_keeper());
  co_await device_->run();
  is_over_ = true;
  if (!is_handed_over_) parts_.link.over();
  loop_.cancel(parts_.signals.fd());
  loop_.cancel(parts_.link.fd());
  loop_.hurry();
  co_await scope.join();
}

Task<void> DirectEngine::watch_signals() {
  Scope scope(frames());
  while (!is_over_) {
    const int result = co_await loop_.readable(parts_.signals.fd());
    if (result < 0) break;
    if (parts_.signals.take() == 0) continue;
    const bool asked_before = std::exchange(end_asked_, true);
    try_to_end(asked_before && !parts_.wanted.command.root_device);
    if (!asked_before && !device_->is_over()) scope.spawn(watch_users());
  }
  co_await scope.join();
}

// Refused because somebody used the device: the end comes when the last user has gone.
Task<void> DirectEngine::watch_users() {
  while (!is_over_ && !device_->is_over()) {
    co_await loop_.sleep(users_look);
    if (is_over_ || device_->is_over() || is_handed_over_) break;
    if (users_of(record().index).empty()) try_to_end(false);
  }
}

void DirectEngine::try_to_end(bool force) {
  if (device_->is_over() || device_->is_disconnected()) return;
  const ControlReply reply = device_->detach(force);
  if (!reply.error.empty()) {
    parts_.log.warning(reply.error);
    parts_.link.notify("STATUS=waiting: " + reply.error);
  }
  if (device_->is_disconnected()) device_->finish();
}

Task<void> DirectEngine::watch_keeper() {
  while (!is_over_) {
    const int result = co_await loop_.readable(parts_.link.fd());
    if (is_over_) break;
    if (result < 0) continue;  // there is another socket
    if (parts_.link.attend()) continue;
    parts_.log.warning("the keeper has died: starting another one",
                       {{"device", record().device()}});
    if (!parts_.link.renew(record(), parts_.log)) break;
    device_->keeper_is(parts_.link.keeper());
  }
}

std::optional<ControlReply> DirectEngine::ending() {
  parts_.link.notify("STOPPING=1");
  return std::nullopt;
}

// Requests do not come here: no stall of theirs is known.
void DirectEngine::complete(DeviceStatus& status) const {
  if (parts_.former) status.engine_restarts = parts_.former->restarts;
}

}  // namespace nbdring
