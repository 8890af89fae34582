#pragma once
// What the devices of this machine leave in /run/nbdring (mode 0700), so that later commands find
// them:
//
//   nbdN.json  who serves /dev/nbdN, put there by rename. The engine holds a lock on it for as
//              long as it lives: that is how everybody else knows that it does; a process number
//              could have been given out again.
//   nbdN.sock  the engine's control socket (control.hpp)
//   nbdN.log   its log, where this machine has no journal (daemon.hpp)
//   id-*.lock  while an identity or a name is being attached
//
// Who renames or removes files here has the folder itself locked. Nothing stays when the last
// device has ended.
//
// An engine that died leaves its files. They are removed by whoever comes across them once the
// driver holds the device no longer, or by detach. Every function takes the folder from its object,
// so that tests have their own.

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
  int pid = 0;
  std::int64_t started = 0;  // seconds since 1970

  std::string device() const { return "/dev/" + device_name(index); }
  friend bool operator==(const DeviceRecord&, const DeviceRecord&) = default;
};

/// JSON of a record; and back, or nothing where the text is no record.
std::string to_json(const DeviceRecord& record);
std::optional<DeviceRecord> record_from_json(const std::string& text);

struct KnownDevice {
  DeviceRecord record;
  bool engine_lives = false;
};

class RunFolder {
 public:
  explicit RunFolder(std::string path = "/run/nbdring") : path_(std::move(path)) {}

  /// Makes the folder where it is missing.
  void create() const;

  std::string record_path(std::uint32_t index) const { return file(index, ".json"); }
  std::string socket_path(std::uint32_t index) const { return file(index, ".sock"); }
  std::string log_path(std::uint32_t index) const { return file(index, ".log"); }
  const std::string& path() const { return path_; }

  /// Every device, by index. Forgets, files and all, those whose engine is dead and which the
  /// driver does not hold.
  std::vector<KnownDevice> devices(const Sysfs& sysfs = Sysfs()) const;

  /// By device (/dev/nbdN, nbdN, N), by name, by identity: in this order.
  std::optional<KnownDevice> find(const std::string& target, const Sysfs& sysfs = Sysfs()) const;

  /// Removes the files of a device, unless an engine holds them.
  void forget(std::uint32_t index) const;

 private:
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
  RecordFile(const RunFolder& folder, const DeviceRecord& record);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Leaves the files: the driver holds the device although the engine ends, and list is to say so.
  void keep() { kept_ = true; }

 private:
  const RunFolder& folder_;
  std::uint32_t index_;
  FileDescriptor file_;
  bool kept_ = false;
};

}  // namespace nbdring
