#include "cli/engine_front.hpp"

#include <chrono>
#include <utility>

#include "kernel/users.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds users_look{500};  // between two looks at who uses the device

}  // namespace

void EngineFront::begin(Scope& scope) {
  scope.spawn(watch_signals());
  scope.spawn(watch_keeper());
}

void EngineFront::end() noexcept {
  is_over_ = true;
  parts_.loop.cancel(parts_.signals.fd());
  parts_.loop.cancel(parts_.link.fd());
  parts_.loop.hurry();
}

Task<void> EngineFront::watch_signals() {
  Scope scope(frames());
  while (!is_over_) {
    const int result = co_await parts_.loop.readable(parts_.signals.fd());
    if (result < 0) break;
    if (parts_.signals.take() == 0) continue;
    const bool asked_before = std::exchange(end_asked_, true);
    try_to_end(asked_before && parts_.may_force);
    if (!asked_before && !device_.has_ended()) scope.spawn(watch_users());
  }
  co_await scope.join();
}

Task<void> EngineFront::watch_users() {
  while (!is_over_ && !device_.has_ended()) {
    co_await parts_.loop.sleep(users_look);
    if (is_over_ || device_.has_ended()) break;
    if (users_of(device_.attached().index).empty()) try_to_end(false);
  }
}

void EngineFront::try_to_end(bool force) {
  if (device_.has_ended()) return;
  const ControlReply reply = device_.detach(force);
  if (!reply.error.empty()) {
    parts_.log.warning(reply.error);
    parts_.link.notify("STATUS=waiting: " + reply.error);
  }
  device_.finish_if_disconnected();
}

Task<void> EngineFront::watch_keeper() {
  while (!is_over_) {
    const int result = co_await parts_.loop.readable(parts_.link.fd());
    if (is_over_) break;
    if (result < 0) continue;  // there is another socket
    if (parts_.link.attend()) continue;
    parts_.log.warning("the keeper has died: starting another one",
                       {{"device", device_.attached().device()}});
    if (!parts_.link.renew(device_.attached(), parts_.log)) break;
    device_.keeper_is(parts_.link.keeper());
  }
}

}  // namespace nbdring
