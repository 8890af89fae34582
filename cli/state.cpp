#include "cli/state.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t record_bytes_max = 64 * 1024;
constexpr std::chrono::seconds folder_lock_wait{5};  // it is held for a few system calls

[[noreturn]] void fail_path(const std::string& action, const std::string& path) {
  const bool denied = errno == EACCES || errno == EPERM;
  const int error = errno;
  const FailureKind kind = denied ? FailureKind::cannot_attach : FailureKind::failed;
  throw Failure(kind, action + " " + path + ": " + error_text(error) +
                          (denied ? "; run it as root, e.g. with sudo" : ""));
}

FileDescriptor open_file(const std::string& path, int flags) {
  return FileDescriptor(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

std::optional<std::string> read_all(int fd) {
  std::string text(record_bytes_max, '\0');
  const ssize_t bytes = ::pread(fd, text.data(), text.size(), 0);
  if (bytes < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t bytes = ::write(fd, text.data(), text.size());
    if (bytes <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(bytes));
  }
  return true;
}

// FNV-1a, 64 bit: needs no quality but the same value in every version of the program.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

// An open file description lock ends with the process, and can be asked for without being taken:
// nobody who looks can be mistaken for an engine.
struct flock write_lock() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool lock_file(int fd) {
  struct flock lock = write_lock();
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

void unlock_file(int fd) {
  struct flock lock = write_lock();
  lock.l_type = F_UNLCK;
  ENSURE(::fcntl(fd, F_OFD_SETLK, &lock) == 0);
}

bool is_locked(int fd) {
  struct flock lock = write_lock();
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool driver_holds(const DeviceRecord& record, const Sysfs& sysfs) {
  const auto device = sysfs.device(record.index);
  return device && device->attached && device->backend == record.id;
}

}  // namespace

void RunFolder::create() const {
  ENSURE(!path_.empty());
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) fail_path("cannot make", path_);
}

std::string RunFolder::file(std::uint32_t index, const char* ending) const {
  return path_ + "/" + device_name(index) + ending;
}

std::vector<std::uint32_t> RunFolder::indexes() const {
  std::vector<std::uint32_t> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path_.c_str()), &::closedir);
  if (!folder) {
    if (errno == ENOENT) return found;
    fail_path("cannot look into", path_);
  }
  constexpr std::string_view ending = ".json";
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name(entry->d_name);
    if (!name.starts_with("nbd") || !name.ends_with(ending)) continue;
    const auto index = device_index(std::string(name.substr(0, name.size() - ending.size())));
    if (index) found.push_back(*index);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<KnownDevice> RunFolder::read(std::uint32_t index) const {
  const FileDescriptor record = open_file(record_path(index), O_RDONLY);
  if (!record.is_open()) return std::nullopt;
  const auto text = read_all(record.get());
  if (!text) return std::nullopt;
  auto parsed = record_from_json(*text);
  if (!parsed || parsed->index != index) return std::nullopt;
  return KnownDevice{std::move(*parsed), is_looked_after(index)};
}

bool RunFolder::is_looked_after(std::uint32_t index) const {
  const FileDescriptor lock = open_file(lock_path(index), O_RDONLY);
  return lock.is_open() && is_locked(lock.get());
}

std::vector<KnownDevice> RunFolder::devices(const Sysfs& sysfs) const {
  std::vector<KnownDevice> known;
  for (const std::uint32_t index : indexes()) {
    auto device = read(index);
    if (device && (device->engine_lives || driver_holds(device->record, sysfs))) {
      known.push_back(std::move(*device));
    } else {
      forget(index);
    }
  }
  return known;
}

std::optional<KnownDevice> RunFolder::find(const std::string& target, const Sysfs& sysfs) const {
  const auto known = devices(sysfs);
  const auto first = [&known](const auto& matches) -> std::optional<KnownDevice> {
    const auto at = std::find_if(known.begin(), known.end(), matches);
    return at != known.end() ? std::optional(*at) : std::nullopt;
  };
  if (const auto index = device_index(target)) {
    return first([&](const KnownDevice& device) { return device.record.index == *index; });
  }
  auto found = first([&](const KnownDevice& device) { return device.record.name == target; });
  if (!found) found = first([&](const KnownDevice& device) { return device.record.id == target; });
  return found;
}

// The lock of the folder keeps a new engine from putting its record here between the look and the
// removal.
void RunFolder::forget(std::uint32_t index) const {
  const FolderLock lock(*this);
  if (is_looked_after(index)) return;
  ::unlink(socket_path(index).c_str());
  ::unlink(log_path(index).c_str());
  ::unlink(record_path(index).c_str());
  ::unlink(lock_path(index).c_str());
}

FolderLock::FolderLock(const RunFolder& folder)
    : folder_(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_.is_open()) fail_path("cannot open", folder.path());
  const auto locked = [this] { return ::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0; };
  if (!wait_until(locked, Deadline::in(folder_lock_wait))) {
    throw Failure(FailureKind::busy, "somebody has " + folder.path() + " locked; see `fuser -v " +
                                         folder.path() + "`");
  }
}

IdentityLock::IdentityLock(const RunFolder& folder, Of of, const std::string& text,
                           Deadline deadline)
    : path_(folder.path() + "/id-" +
            std::to_string(hash_of((of == Of::id ? "id:" : "name:") + text)) + ".lock") {
  ENSURE(!text.empty());
  if (wait_until([this] { return try_lock(); }, deadline)) return;
  throw Failure(FailureKind::busy,
                "another nbdring is still attaching '" + text + "'; try again when it is done");
}

// Whoever had the lock before may have removed the file that we opened: only the one that has the
// name counts.
bool IdentityLock::try_lock() {
  FileDescriptor file = open_file(path_, O_RDWR | O_CREAT);
  if (!file.is_open()) fail_path("cannot open", path_);
  if (!lock_file(file.get())) return false;
  struct stat ours {};
  struct stat named {};
  const bool same = ::fstat(file.get(), &ours) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
                    ours.st_ino == named.st_ino;
  if (same) file_ = std::move(file);
  return same;
}

IdentityLock::~IdentityLock() {
  if (file_.is_open()) ::unlink(path_.c_str());
}

// A lock file that a dead engine left is as good as a new one. The folder is locked: what is locked
// now is the lock of a living engine, or of its keeper.
RecordFile::RecordFile(const RunFolder& folder, const DeviceRecord& record, FileDescriptor lock)
    : folder_(folder), index_(record.index), lock_(std::move(lock)) {
  const FolderLock locked(folder);
  if (!lock_.is_open()) {
    lock_ = open_file(folder.lock_path(index_), O_RDWR | O_CREAT);
    if (!lock_.is_open()) fail_path("cannot write", folder.lock_path(index_));
    if (!lock_file(lock_.get())) {
      throw Failure(
          FailureKind::busy,
          record.device() + " has an engine already; see `nbdring status " + record.device() + "`");
    }
  }
  write(record);
}

void RecordFile::update(const DeviceRecord& record) {
  ENSURE(record.index == index_);
  const FolderLock locked(folder_);
  write(record);
}

void RecordFile::write(const DeviceRecord& record) const {
  ENSURE(!record.id.empty() && record.size > 0 && record.connections > 0 && record.pid > 0);
  const std::string path = folder_.record_path(index_);
  const std::string temporary = path + ".new";
  const FileDescriptor file = open_file(temporary, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.is_open()) fail_path("cannot write", temporary);
  if (!write_all(file.get(), to_json(record) + "\n")) fail_path("cannot write", temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail_path("cannot write", path);
}

// The keeper still holds a duplicate of the lock: closing ours would not be enough.
RecordFile::~RecordFile() {
  if (end_ == End::hand_over) return;
  unlock_file(lock_.get());
  if (end_ == End::keep) return;
  try {
    folder_.forget(index_);
  } catch (const Failure&) {
    // Somebody holds the folder's lock and does not go on. Whoever looks next removes what we
    // leave.
  }
}

}  // namespace nbdring
