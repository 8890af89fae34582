#pragma once
// The life of an attached device after its start: answers the control socket, heeds signals,
// notices when the driver has ended the device. On the front end's loop, the main thread; the lanes
// have threads of their own and never wait for it.
//
// A detach is refused while the device is in use. SIGTERM and SIGINT ask for one; a second one
// forces it.

#include <string>

#include "cli/control.hpp"
#include "cli/signals.hpp"
#include "cli/state.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/device.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

/// What a session looks after. Everything outlives it.
struct SessionParts {
  Loop& loop;
  Backend& backend;
  Device& device;
  Attachment& attachment;
  const DeviceRecord& record;
  RecordFile& record_file;
  TerminationSignals& signals;
  Log& log;
  int control_listener;
  bool bounds_log;  // the log is a file of ours
};

class DeviceSession final : private ControlHandler {
 public:
  explicit DeviceSession(const SessionParts& parts);

  /// Ends when the device has.
  Task<void> run();

  FramePool& frames() { return parts_.loop.frames(); }

 private:
  Task<void> watch_signals();
  Task<void> watch_lanes();
  Task<void> watch_log();

  ControlReply handle(const ControlRequest& request) override;
  void replied(const ControlRequest& request, const ControlReply& reply) override;
  ControlReply status() const;
  ControlReply detach(bool force);
  void lanes_ended();

  SessionParts parts_;
  ControlServer control_;
  FileDescriptor minute_;  // timerfd
  Event finished_;
  bool detached_ = false;  // by us
};

}  // namespace nbdring
