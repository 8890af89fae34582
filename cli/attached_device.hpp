#pragma once
// A backend on /dev/nbdN: the lanes, the driver in front of them, the record by which other
// commands find the device, and its control socket.
//
// Made, used and destroyed by one thread, whose loop it is given; a process may have several, each
// with a thread. It blocks that thread while the driver attaches (a minute at most) or lets go, so
// nothing else on that loop may be in a hurry; the lanes serve meanwhile, on threads of their own.
// The process's signals are none of its business. A start that fails is a Failure, and undone.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/device_session.hpp"
#include "cli/driver_front.hpp"
#include "cli/engine_link.hpp"
#include "cli/listen.hpp"
#include "cli/state.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/device.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

struct DeviceSettings {
  AttachOptions driver;
  std::string name;           // for the record; empty: none
  std::string backend;        // for the record: the canonical text
  std::string configuration;  // for the record: of the gateway that has it; empty: none
  bool bounds_log = false;    // the log is a file of this device's own
  /// The driver holds the device already: what is known of it.
  std::optional<DeviceRecord> former = std::nullopt;
};

/// What the device of a process with a keeper has beside its settings.
struct KeptDevice {
  std::unique_ptr<Backend> backend;
  BackendSource source;
  EngineLink& link;
  /// Of an engine that lives, with which we change places; none: the driver's connections are new.
  std::vector<FileDescriptor> sockets;
  std::function<void()> takes_over;  // called right before the first byte is read from them
};

/// The record of a device that this process has just attached.
DeviceRecord new_record(const DeviceSettings& settings, const Export& about,
                        const Attachment& attachment);

/// The block size of a device for an export, in bytes, where nobody asked for one.
std::uint32_t block_size_for(const Export& about);

/// The driver holds a device whose engine has died: where nobody uses it, it is in the way and
/// nothing more, and is disconnected. Else Failure (busy) that names the users.
void clean_up_after(const DeviceRecord& dead, const RunFolder& folder, Log& log);

class AttachedDevice {
 public:
  /// Attaches; the device can be used when it returns. Everything outlives it.
  AttachedDevice(Loop& loop, Backend& backend, const DeviceSettings& settings,
                 const RunFolder& folder, DeviceOwner& owner, Log& log);
  /// The same, or takes settings.former over.
  AttachedDevice(Loop& loop, KeptDevice kept, const DeviceSettings& settings,
                 const RunFolder& folder, DeviceOwner& owner, Log& log);
  /// A device that is still attached is disconnected.
  ~AttachedDevice();

  const DeviceRecord& record() const { return record_; }
  /// Something of the record is to be another; everybody sees it.
  void change_record(const std::function<void(DeviceRecord&)>& change);

  /// Answers the control socket; ends when the device has ended, or after session().finish().
  Task<void> run() { return session_->run(); }
  DeviceSession& session() { return *session_; }
  const DeviceSession& session() const { return *session_; }
  DriverFront& front() { return *front_; }

  /// Another process has the device: this object's end touches neither it nor its files.
  void leave();

  FramePool& frames() { return session_->frames(); }

 private:
  void begin(Loop& loop, const DeviceSettings& settings, const RunFolder& folder,
             DeviceOwner& owner, FileDescriptor lock, Log& log);

  // They end in the reverse order.
  std::unique_ptr<DriverFront> front_;
  DeviceRecord record_;
  std::unique_ptr<RecordFile> record_file_;
  std::optional<UnixListener> control_;
  std::unique_ptr<DeviceSession> session_;
};

}  // namespace nbdring
