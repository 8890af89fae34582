#pragma once
// The engine of a device whose driver talks to the server itself (attach --path=kernel), in a
// process beside its keeper as engine.hpp's is: attaches it, goes on watching one whose engine has
// died, or takes one over from an engine that lives. No request waits for any of the three.
//
// Used by the process's main thread. A start that fails is a Failure, and undone.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/direct_device.hpp"
#include "cli/engine_front.hpp"
#include "cli/engine_link.hpp"
#include "cli/signals.hpp"
#include "cli/wanted.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

class DirectEngine final : private DeviceOwner, private EngineFront::Device {
 public:
  struct Parts {
    const Wanted& wanted;
    EngineLink& link;
    const RunFolder& folder;
    TerminationSignals& signals;
    std::optional<FormerEngine> former;
    std::vector<FileDescriptor> connections;  // of an engine that lives, and hands them over
    Log& log;
  };
  /// Told to end before there was a device (attach --wait): has_device() is false then.
  explicit DirectEngine(Parts parts);

  bool has_device() const { return device_.has_value(); }
  const DeviceRecord& record() const { return device_->record(); }
  /// The exit code.
  int run();
  FramePool& frames() { return loop_.frames(); }

 private:
  bool dial_first();
  Task<void> dial_one();
  Task<void> dial(std::size_t connections);
  AttachOptions options_for(const Export& about) const;
  DirectStart attach();
  DirectStart take_over();

  Task<void> serve();

  // DeviceOwner:
  std::optional<ControlReply> ending() override;
  void complete(DeviceStatus& status) const override;
  ControlReply upgrade(const std::string& program) override;
  bool is_handed_over() const override { return is_handed_over_; }
  ControlReply hand_over(const std::string& version);

  // EngineFront::Device:
  const DeviceRecord& attached() const override { return record(); }
  bool has_ended() const override;
  ControlReply detach(bool force) override;
  void finish_if_disconnected() override;
  void keeper_is(int process) override;

  Parts parts_;
  Loop loop_;
  DirectSource source_;
  std::vector<DirectConnection> dialled_;  // for a device to be attached
  std::optional<DirectDevice> device_;
  EngineFront front_;
  bool is_handed_over_ = false;
  int exit_code_ = 0;
};

}  // namespace nbdring
