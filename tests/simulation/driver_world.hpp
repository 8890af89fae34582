#pragma once
// One seed's simulation of an attached device: a driver with several connections, lanes with their
// fence as they are, and a backend whose operations end late, on one loop, in virtual time. The
// backend stalls for longer than the driver's timer, lanes do not come to read, connections die,
// are lost and replaced; the lanes are paused, go on, or are handed on to the lanes of another
// engine; the engine dies and another adopts the device.
//
// What is held: every request is answered once, without an error; no read and no image ever has
// bytes older than what was acknowledged, so no write of a lost connection lands after a newer one;
// a flush covers what was acknowledged before it; a pause has nothing in flight and nothing half
// sent, and loses nothing; a lane is lost only where the driver shut its connection down; nothing
// waits for ever, nor for the driver's timer where nothing is in its way.
//
// The engine's death: its requests may still land for a while (io_uring's do), and the next engine
// opens the backend only when they have, as the lock on a file sees to.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/engine/fence.hpp"
#include "client/engine/lane.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "tests/simulation/driver.hpp"
#include "tests/simulation/virtual_time.hpp"

namespace nbdring {

class DriverWorld {
 public:
  struct Report {
    std::function<void(const std::string&)> trace;   // empty: none
    std::function<void(const std::string&)> failed;  // does not return
  };

  DriverWorld(std::uint64_t seed, Report report);
  ~DriverWorld();

  /// Returns when every promise has been seen to hold.
  void run();

  std::uint64_t turns() const { return turns_; }
  std::uint64_t requests() const { return plan_.requests; }

 private:
  class LaneOfEngine;
  enum class Pausing { no, asked, parked, handing_on };

  Task<void> play(Loop& loop);
  Task<void> serve(Loop& loop, LaneOfEngine& lane);
  void start_lane(std::size_t index, SimulatedStream& stream);
  void step();
  void step_backend();
  void check_calm();
  void step_faults();
  void step_pause();
  void step_repair();
  void ask_for_pause();
  void go_on();
  void check_parked();
  void end_device();
  void check_end();
  bool every_lane(const std::function<bool(const LaneOfEngine&)>& holds) const;
  bool is_idle() const;
  void trace(const std::string& text) const;

  Random random_;
  Report report_;
  VirtualTime time_;
  Export about_;
  DriverPlan plan_;
  LaneOptions lane_options_;
  FaultOptions faults_;
  std::unique_ptr<FaultyBackend> backend_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<SimulatedDriver> driver_;
  Loop* loop_ = nullptr;
  Scope* lanes_scope_ = nullptr;
  std::vector<std::unique_ptr<Fence>> fences_;        // one per engine
  std::vector<std::unique_ptr<LaneOfEngine>> lanes_;  // all that there ever were
  std::vector<LaneOfEngine*> present_;                // by index; null: to be replaced
  Pausing pausing_ = Pausing::no;
  Clock::time_point pause_until_;
  Clock::time_point stalled_until_;
  std::uint64_t fault_every_ = 100;
  bool is_adopting_ = false;
  bool is_ending_ = false;
  std::uint64_t turns_ = 0;
  std::uint64_t progress_ = 0;
  std::uint64_t idle_turns_ = 0;
  std::uint64_t calm_turns_ = 0;
};

}  // namespace nbdring
