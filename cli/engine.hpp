#pragma once
// The engine of an attached device, in a process of its own beside its keeper: attaches it, adopts
// one whose engine has died, or takes one over from an engine that lives; serves it to its end.
//
// Used by the process's main thread. A start that fails is a Failure, and undone.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cli/attached_device.hpp"
#include "cli/engine_front.hpp"
#include "cli/engine_link.hpp"
#include "cli/signals.hpp"
#include "cli/wanted.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

/// To the device's end; the exit code. Where the identity is attached already it is said, and that
/// is all.
int run_engine(const Wanted& wanted, EngineLink& link, Log& log);

/// Serves a device that is there: its front listens, and this knows what was there before.
class Engine final : private DeviceOwner, private EngineFront::Device {
 public:
  struct Parts {
    KeptDevice kept;
    const DeviceSettings& settings;
    const RunFolder& folder;
    TerminationSignals& signals;
    bool may_force;  // see EngineFront
    std::optional<FormerEngine> former;
    Log& log;
  };
  explicit Engine(Parts parts);

  const DeviceRecord& record() const { return device_.record(); }
  /// The exit code.
  int run();
  FramePool& frames() { return loop_.frames(); }

 private:
  Task<void> serve();
  Task<void> watch_recovery();
  void note_stall(std::uint64_t in_flight_milliseconds);

  // DeviceOwner:
  std::optional<ControlReply> ending() override;
  void complete(DeviceStatus& status) const override;
  ControlReply upgrade(const std::string& program) override;
  bool is_handed_over() const override { return is_handed_over_; }
  void lost(const Failure& why) override { leave_to_keeper(why); }

  // EngineFront::Device:
  const DeviceRecord& attached() const override { return record(); }
  bool has_ended() const override;
  ControlReply detach(bool force) override;
  void finish_if_disconnected() override;
  void keeper_is(int process) override;

  // Of an upgrade:
  ControlReply hand_over(const std::string& version);
  ControlReply handed_over(const std::string& version, Deadline::Clock::time_point began);
  ControlReply stay(const std::string& why, std::vector<FileDescriptor> sockets);
  ControlReply left_to_keeper(const std::string& why);
  void leave_to_keeper(const Failure& why);

  EngineLink& link_;
  std::optional<FormerEngine> former_;
  Log& log_;
  Loop loop_;
  AttachedDevice device_;
  EngineFront front_;
  StallStatus stall_;
  bool is_handed_over_ = false;  // or lost: another engine has the device, or will
  int exit_code_ = 0;
};

}  // namespace nbdring
