#pragma once
// What the devices of this machine leave in /run/nbdring (mode 0700), so that later commands find
// them:
//
//   nbdN.json  who serves /dev/nbdN, put there by rename, and again whenever something of it
//   changes nbdN.lock  locked by the engine, and by the keeper that would start another one: as
//   long as
//              either lives somebody looks after the device, and that is how everybody else knows;
//              a process number could have been given out again
//   nbdN.sock  the engine's control socket (control.hpp)
//   nbdN.log   its log, where this machine has no journal (daemon.hpp)
//   id-*.lock  while an identity or a name is being attached
//
// Who renames or removes files here has the folder itself locked. Nothing stays when the last
// device has ended.
//
// An engine that died with its keeper leaves its files. They are removed by whoever comes across
// them once the driver holds the device no longer, or by detach. Every function takes the folder
// from its object, so that tests have their own.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// What is known of an attached device from outside.
struct DeviceRecord {
  std::uint32_t index = 0;
  std::string id;                // the driver's backend identifier
  std::string name;              // empty: none
  std::string backend;           // canonical text
  std::string configuration;     // of the gateway whose device it is; empty: none
  std::uint64_t size = 0;        // bytes
  std::uint32_t block_size = 0;  // bytes
  bool read_only = false;
  unsigned connections = 0;
  std::uint64_t timeout = 0;       // seconds until the driver gives a request up
  bool fresh = false;              // the device's number was made for it, and goes with it
  int pid = 0;                     // of the engine
  int keeper = 0;                  // of the process that starts another engine; 0: there is none
  bool kernel_path = false;        // the driver talks to the server itself (attach --path=kernel)
  std::uint16_t server_flags = 0;  // then: what the server said it can do
  bool recovering = false;         // a new engine is taking the device over from one that died
  std::int64_t started = 0;        // of the device, not of its engine; seconds since 1970

  std::string device() const { return "/dev/" + device_name(index); }
  friend bool operator==(const DeviceRecord&, const DeviceRecord&) = default;
};

/// JSON of a record; and back, or nothing where the text is no record.
std::string to_json(const DeviceRecord& record);
std::optional<DeviceRecord> record_from_json(const std::string& text);

struct KnownDevice {
  DeviceRecord record;
  bool engine_lives = false;  // or its keeper, who will have another one soon
};

class RunFolder {
 public:
  explicit RunFolder(std::string path = "/run/nbdring") : path_(std::move(path)) {}

  /// Makes the folder where it is missing.
  void create() const;

  std::string record_path(std::uint32_t index) const { return file(index, ".json"); }
  std::string lock_path(std::uint32_t index) const { return file(index, ".lock"); }
  std::string socket_path(std::uint32_t index) const { return file(index, ".sock"); }
  std::string log_path(std::uint32_t index) const { return file(index, ".log"); }
  const std::string& path() const { return path_; }

  /// Every device, by index. Forgets, files and all, those whose engine is dead and which the
  /// driver does not hold.
  std::vector<KnownDevice> devices(const Sysfs& sysfs = Sysfs()) const;

  /// By device (/dev/nbdN, nbdN, N), by name, by identity: in this order.
  std::optional<KnownDevice> find(const std::string& target, const Sysfs& sysfs = Sysfs()) const;

  /// Removes the files of a device, unless somebody looks after it.
  void forget(std::uint32_t index) const;

 private:
  bool is_looked_after(std::uint32_t index) const;
  std::string file(std::uint32_t index, const char* ending) const;
  std::optional<KnownDevice> read(std::uint32_t index) const;
  std::vector<std::uint32_t> indexes() const;

  std::string path_;
};

/// The right to rename and remove in the folder, until destruction. Held for a few system calls
/// only.
class FolderLock {
 public:
  explicit FolderLock(const RunFolder& folder);

 private:
  FileDescriptor folder_;
};

/// The right to attach an identity, or a name, until destruction: of two at once the second one
/// waits, and then finds it attached. Failure (busy) at the deadline.
class IdentityLock {
 public:
  enum class Of { id, name };
  IdentityLock(const RunFolder& folder, Of of, const std::string& text, Deadline deadline);
  ~IdentityLock();
  IdentityLock(IdentityLock&& other) noexcept = default;
  IdentityLock& operator=(IdentityLock&&) = delete;

 private:
  bool try_lock();

  std::string path_;
  FileDescriptor file_;
};

/// The engine's own record: there, and locked, as long as the object lives. The destructor removes
/// the device's files.
class RecordFile {
 public:
  /// lock: the one of a former engine of the same device; an empty one: it is new, and locked here.
  RecordFile(const RunFolder& folder, const DeviceRecord& record, FileDescriptor lock = {});
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// The record has changed: what is not its index may.
  void update(const DeviceRecord& record);

  /// Whoever holds a duplicate of it keeps the lock when this process dies.
  int lock() const { return lock_.get(); }

  /// Leaves the files: the driver holds the device although the engine ends, and list is to say so.
  void keep() { end_ = End::keep; }
  /// Leaves the files and the lock: another engine serves the device from here on.
  void hand_over() { end_ = End::hand_over; }

 private:
  enum class End { forget, keep, hand_over };

  void write(const DeviceRecord& record) const;

  const RunFolder& folder_;
  std::uint32_t index_;
  FileDescriptor lock_;
  End end_ = End::forget;
};

}  // namespace nbdring
