#pragma once
// A device whose driver talks to the server itself (attach --path=kernel): its attachment, its
// record, its control socket, its connections. The counterpart of AttachedDevice and DeviceSession,
// without lanes: no request goes through this process.
//
// On one loop's thread, which it blocks while the driver attaches (a minute at most) or lets go. A
// start that fails is a Failure, and undone.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/control.hpp"
#include "cli/device_session.hpp"
#include "cli/direct_links.hpp"
#include "cli/engine_link.hpp"
#include "cli/listen.hpp"
#include "cli/state.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

/// A device that is attached, as it was just made or as it was found.
struct DirectStart {
  std::unique_ptr<Attachment> attachment;
  DeviceRecord record;  // keeper and pid are filled in
  Export attached;      // what the driver was told
  std::vector<FileDescriptor> connections;
  bool is_new = false;
  bool bounds_log = false;  // the log is a file of ours
};

class DirectDevice final : private ControlHandler {
 public:
  /// Everything but start outlives it.
  DirectDevice(Loop& loop, const DirectSource& source, DirectStart start, const RunFolder& folder,
               EngineLink& link, DeviceOwner& owner, Log& log);
  /// A device that is still attached is disconnected.
  ~DirectDevice();

  const DeviceRecord& record() const { return record_; }
  void keeper_is(int process);
  DirectLinks& links() { return links_; }

  /// Ends when the device has, or after finish().
  Task<void> run();
  void finish();
  /// See DeviceSession.
  ControlReply detach(bool force);
  bool is_over() const { return finished_.raised(); }
  bool is_disconnected() const { return disconnected_; }

  /// Another process has the device: this object's end touches neither it nor its files.
  void leave();

  FramePool& frames() { return loop_.frames(); }

 private:
  Task<void> watch_links();
  Task<void> watch_log();
  ControlReply handle(const ControlRequest& request) override;
  void replied(const ControlRequest& request, const ControlReply& reply) override;
  ControlReply status() const;
  ControlReply refused(FailureKind kind, const std::string& why) const;
  ControlReply disconnect(bool force);
  bool requests_are_stuck() const;

  Loop& loop_;
  DeviceOwner& owner_;
  Log& log_;
  // They end in the reverse order.
  std::unique_ptr<Attachment> attachment_;
  DeviceRecord record_;
  RecordFile record_file_;
  UnixListener listener_;
  DirectLinks links_;
  ControlServer control_;
  bool bounds_log_;
  Event finished_;
  bool asked_ = false;         // to end, and it was not refused
  bool disconnected_ = false;  // by us
};

}  // namespace nbdring
