#pragma once
// What an engine's process listens to besides its device, whoever serves the requests: signals, and
// its keeper.
//
// SIGTERM and SIGINT ask for the device's end. Refused because somebody uses it (at shutdown for
// instance), the end comes when the last user has gone, or at once where a second signal forces it.
// A keeper that has died is replaced.
//
// The loop's thread.

#include "cli/control.hpp"
#include "cli/engine_link.hpp"
#include "cli/signals.hpp"
#include "cli/state.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {

class EngineFront {
 public:
  /// Whose end is asked for. Outlives the front.
  class Device {
   public:
    virtual const DeviceRecord& attached() const = 0;
    /// Nothing is left to end, or another engine has it.
    virtual bool has_ended() const = 0;
    /// Refused, with the reason, or done: then it may be finished.
    virtual ControlReply detach(bool force) = 0;
    virtual void finish_if_disconnected() = 0;
    virtual void keeper_is(int process) = 0;

   protected:
    ~Device() = default;
  };

  struct Parts {
    Loop& loop;
    EngineLink& link;
    TerminationSignals& signals;
    bool may_force;  // a second signal; never where the root file system may be on the device:
                     // at shutdown everybody gets one
    Log& log;
  };
  EngineFront(const Parts& parts, Device& device) : parts_(parts), device_(device) {}

  /// Listens, in the scope, until end().
  void begin(Scope& scope);
  /// The device has ended here. The scope can be joined.
  void end() noexcept;

  bool is_over() const { return is_over_; }
  FramePool& frames() { return parts_.loop.frames(); }

 private:
  Task<void> watch_signals();
  Task<void> watch_users();
  Task<void> watch_keeper();
  void try_to_end(bool force);

  const Parts parts_;
  Device& device_;
  bool end_asked_ = false;
  bool is_over_ = false;
};

}  // namespace nbdring
