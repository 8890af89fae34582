#include "cli/engine.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <utility>

#include "cli/identity.hpp"
#include "cli/in_use.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds in_flight_look{20};
constexpr std::chrono::seconds in_flight_after{2};  // the driver's timer, and what it is late by

milliseconds since(Deadline::Clock::time_point moment) {
  return std::chrono::duration_cast<milliseconds>(Deadline::Clock::now() - moment);
}

// Requests that the driver waits for: reads, writes.
bool has_in_flight(std::uint32_t index) {
  std::ifstream file(Sysfs().device_folder(index) + "/inflight");
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  return (file >> reads >> writes) && reads + writes > 0;
}

std::string time_text(std::uint64_t count) {
  if (count < 10'000) return std::to_string(count) + " ms";
  return std::to_string(count / 1000) + " s";
}

}  // namespace

Engine::Engine(Parts parts)
    : link_(parts.kept.link),
      former_(std::move(parts.former)),
      log_(parts.log),
      device_(loop_, std::move(parts.kept), parts.settings, parts.folder, *this, log_),
      front_({loop_, link_, parts.signals, parts.may_force, log_}, *this) {
  if (!former_) return;
  stall_.cause = former_->is_alive ? "upgrade" : "engine died: " + former_->cause;
  stall_.when = std::time(nullptr);
  stall_.count = former_->stalls;
  if (former_->ended != Deadline::Clock::time_point()) {
    stall_.milliseconds = static_cast<std::uint64_t>(since(former_->ended).count());
    stall_.in_flight_milliseconds = stall_.milliseconds;
  }
}

int Engine::run() {
  loop_.run(serve());
  return exit_code_;
}

Task<void> Engine::serve() {
  Scope scope(frames());
  link_.serving();
  front_.begin(scope);
  if (former_ && !former_->is_alive) scope.spawn(watch_recovery());
  co_await device_.run();
  if (!is_handed_over_) link_.over();
  front_.end();
  co_await scope.join();
}

// What was on its way when the engine died comes back with the driver's timer.
Task<void> Engine::watch_recovery() {
  const auto timeout = std::chrono::seconds(record().timeout) + in_flight_after;
  const bool is_known = former_->ended != Deadline::Clock::time_point();
  const auto begin = is_known ? former_->ended : Deadline::Clock::now();
  while (!front_.is_over() && has_in_flight(record().index) && since(begin) < timeout) {
    co_await loop_.sleep(in_flight_look);
  }
  if (is_known) note_stall(static_cast<std::uint64_t>(since(begin).count()));
}

void Engine::note_stall(std::uint64_t in_flight_milliseconds) {
  stall_.in_flight_milliseconds = in_flight_milliseconds;
  log_.warning("the engine had died: new requests waited " + time_text(stall_.milliseconds) +
                   ", those in flight up to " + time_text(in_flight_milliseconds),
               {{"device", record().device()}, {"reason", former_->cause}});
}

bool Engine::has_ended() const { return is_handed_over_ || device_.session().is_over(); }

ControlReply Engine::detach(bool force) { return device_.session().detach(force); }

void Engine::finish_if_disconnected() {
  DeviceSession& session = device_.session();
  if (session.is_disconnected()) session.finish();
}

void Engine::keeper_is(int process) {
  device_.change_record([process](DeviceRecord& changed) { changed.keeper = process; });
}

std::optional<ControlReply> Engine::ending() {
  link_.notify("STOPPING=1");
  return std::nullopt;
}

// The keeper's next engine adopts the device.
void Engine::leave_to_keeper(const Failure& why) {
  is_handed_over_ = true;
  exit_code_ = static_cast<int>(why.kind());
  device_.leave();
  link_.failed(exit_code_, why.what());
  log_.error("the engine ends: another one is to adopt the device",
             {{"device", record().device()}, {"reason", why.what()}});
}

void Engine::complete(DeviceStatus& status) const {
  if (!stall_.cause.empty()) status.last_stall = stall_;
  if (former_) status.engine_restarts = former_->restarts;
}

}  // namespace nbdring
