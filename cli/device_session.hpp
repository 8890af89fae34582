#pragma once
// The life of an attached device after its start: answers the control socket, ends the device when
// asked to, notices when the driver has ended it. On the front end's loop; the lanes have threads
// of their own and never wait for it. A connection that the driver gave up is replaced
// (repair.hpp).
//
// A detach is refused while the device is in use.

#include <memory>
#include <optional>
#include <string>

#include "cli/control.hpp"
#include "cli/device_status.hpp"
#include "cli/repair.hpp"
#include "cli/served_device.hpp"
#include "cli/state.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

/// Whose device it is: who may have more to do at its end than to disconnect it. On the session's
/// loop.
class DeviceOwner {
 public:
  /// The device is to end, and nothing speaks against it. Nothing: it is disconnected at once. A
  /// reply goes to who has asked, and the owner ends the device in its own time: disconnect(), then
  /// finish().
  virtual std::optional<ControlReply> ending() = 0;
  /// Adds what it knows to the device's status.
  virtual void complete(DeviceStatus& status) const = 0;
  /// Hands the device to another program. exit_code 0: it serves, and this process is to end.
  virtual ControlReply upgrade(const std::string& program);
  /// Nothing of the device is ours any more: an upgrade has succeeded, or the device was lost.
  virtual bool is_handed_over() const { return false; }
  /// See ServedDevice: this process is to end, for another one to adopt the device. Called only
  /// where a backend can be exchanged.
  virtual void lost(const Failure& why);
  /// Why this device's size cannot be changed; empty: it can.
  virtual std::string fixed_size_reason() const { return ""; }

 protected:
  ~DeviceOwner() = default;
};

/// What a session looks after. Everything outlives it.
struct SessionParts {
  Loop& loop;
  ServedDevice& served;
  Attachment& attachment;
  DeviceRecord& record;
  RecordFile& record_file;
  DeviceOwner& owner;
  Log& log;
  int control_listener;
  bool bounds_log;  // the log is a file of ours
};

class DeviceSession final : private ControlHandler {
 public:
  explicit DeviceSession(const SessionParts& parts);

  /// Ends when the device has, or after finish().
  Task<void> run();
  void finish();

  /// Refuses, leaves it to the owner, or disconnects. exit_code 0: the device is ending or has
  /// ended; then somebody calls finish().
  ControlReply detach(bool force);
  /// Blocks while the driver lets go. exit_code 0 with force although somebody has it open.
  ControlReply disconnect(bool force);
  bool is_over() const { return finished_.raised(); }
  bool is_disconnected() const { return disconnected_; }

  FramePool& frames() { return parts_.loop.frames(); }

 private:
  Task<void> watch_lanes();
  Task<void> watch_repair();
  Task<void> watch_log();

  ControlReply handle(const ControlRequest& request) override;
  void replied(const ControlRequest& request, const ControlReply& reply) override;
  ControlReply status() const;
  ControlReply resize(std::optional<std::uint64_t> size, bool force);
  ControlReply upgrade(const std::string& program);
  std::optional<ControlReply> refused_at_the_end() const;
  void look_at_lanes();
  void lanes_ended();
  /// Of one kind: the lanes are to be stopped first, or DISCONNECT would wait for them.
  bool lanes_are_stuck() const;

  SessionParts parts_;
  ControlServer control_;
  FileDescriptor minute_;  // timerfd
  FileDescriptor again_;   // timerfd: to look at the lanes once more
  std::unique_ptr<Repair> repair_;
  Event finished_;
  bool asked_ = false;         // to end, and it was not refused
  bool disconnected_ = false;  // by us
};

}  // namespace nbdring
