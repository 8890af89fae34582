#include "cli/direct_engine.hpp"

#include "client/runtime/scope.hpp"

namespace nbdring {

int DirectEngine::run() {
  loop_.run(serve());
  return exit_code_;
}

Task<void> DirectEngine::serve() {
  Scope scope(frames());
  parts_.link.serving();
  front_.begin(scope);
  co_await device_->run();
  if (!is_handed_over_) parts_.link.over();
  front_.end();
  co_await scope.join();
}

bool DirectEngine::has_ended() const {
  return is_handed_over_ || device_->is_over() || device_->is_disconnected();
}

ControlReply DirectEngine::detach(bool force) { return device_->detach(force); }

void DirectEngine::finish_if_disconnected() {
  if (device_->is_disconnected()) device_->finish();
}

void DirectEngine::keeper_is(int process) { device_->keeper_is(process); }

std::optional<ControlReply> DirectEngine::ending() {
  parts_.link.notify("STOPPING=1");
  return std::nullopt;
}

// Requests do not come here: no stall of theirs is known.
void DirectEngine::complete(DeviceStatus& status) const {
  if (parts_.former) status.engine_restarts = parts_.former->restarts;
}

}  // namespace nbdring
