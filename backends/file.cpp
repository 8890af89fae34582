#include "backends/file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backends/file_lane.hpp"
#include "backends/lock_wait.hpp"
#include "backends/offered_flags.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t direct_alignment_unknown = 4096;  // bytes; what every O_DIRECT accepts

[[noreturn]] void fail_open(const std::string& path, int error) {
  std::string advice;
  if (error == EBUSY)
    advice = "; it is mounted or otherwise in use, attach it read-only or unmount it";
  if (error == EACCES || error == EPERM) advice = "; check its permissions, or attach it read-only";
  if (error == EROFS) advice = "; the file system is read-only, attach it read-only";
  const FailureKind kind = error == EBUSY ? FailureKind::busy : FailureKind::failed;
  throw Failure(kind, "cannot open " + path + ": " + error_text(error) + advice);
}

/// The alignment that O_DIRECT needs here, in bytes (statx STATX_DIOALIGN, Linux 6.1).
std::uint32_t direct_alignment(int fd) {
  struct statx facts {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) != 0) return direct_alignment_unknown;
  if ((facts.stx_mask & STATX_DIOALIGN) == 0 || facts.stx_dio_offset_align == 0) {
    return direct_alignment_unknown;
  }
  return facts.stx_dio_offset_align;
}

}  // namespace

FileBackend::FileBackend(const FileSpec& spec, Log& log, milliseconds lock_wait) : spec_(spec) {
  open_file(lock_wait, log);
  lock_file(lock_wait, log);
  measure(log);
  if (spec_.cache == FileSpec::Cache::writeback) probe_nowait();
  if (reads_now_) cached_.open(file_.get(), spec_.offset + about_.size);
}

void FileBackend::open_file(milliseconds lock_wait, Log& log) {
  const int access = spec_.read_only ? O_RDONLY : O_RDWR;
  const int direct = spec_.cache == FileSpec::Cache::none ? O_DIRECT : 0;
  struct stat facts {};
  // Looked at before it is opened: opening a FIFO would wait for its other end.
  if (::stat(spec_.path.c_str(), &facts) != 0) fail_open(spec_.path, errno);
  is_block_device_ = S_ISBLK(facts.st_mode);
  if (!is_block_device_ && !S_ISREG(facts.st_mode)) {
    throw Failure(FailureKind::failed,
                  spec_.path + " is neither a regular file nor a block device");
  }
  file_ = FileDescriptor(::open(spec_.path.c_str(), access | direct | O_CLOEXEC));
  if (!file_.is_open() && errno == EINVAL && direct != 0) {
    throw Failure(FailureKind::failed, "cannot open " + spec_.path +
                                           " with cache=none: its file system has no O_DIRECT; use "
                                           "cache=writeback");
  }
  if (!file_.is_open()) fail_open(spec_.path, errno);
  if (is_block_device_ && !spec_.read_only) {
    claim_device(access | direct | O_CLOEXEC | O_EXCL, lock_wait, log);
  }
}

// O_EXCL on a block device claims it: nobody can mount it meanwhile, and what is mounted is
// refused (open(2)).
void FileBackend::claim_device(int flags, milliseconds lock_wait, Log& log) {
  LockWait wait(spec_.path, lock_wait, log);
  do {
    file_.reset(::open(spec_.path.c_str(), flags));
  } while (!file_.is_open() && errno == EBUSY && wait.goes_on());
  if (!file_.is_open()) fail_open(spec_.path, errno);
}

void FileBackend::lock_file(milliseconds lock_wait, Log& log) const {
  struct flock lock {};
  lock.l_type = spec_.read_only ? F_RDLCK : F_WRLCK;
  lock.l_whence = SEEK_SET;
  LockWait wait(spec_.path, lock_wait, log);
  int result = 0;
  bool is_held = false;
  do {
    result = ::fcntl(file_.get(), F_OFD_SETLK, &lock);
    is_held = result != 0 && (errno == EAGAIN || errno == EACCES);
  } while (is_held && wait.goes_on());
  if (result == 0) return;
  if (is_held) {
    throw Failure(FailureKind::busy,
                  spec_.path + " is in use: another program holds its lock" +
                      (spec_.read_only ? " for writing; detach it there first"
                                       : "; detach it there first, or attach both read-only"));
  }
  fail_errno(FailureKind::failed, "cannot lock " + spec_.path);
}

void FileBackend::measure(Log& log) {
  struct stat facts {};
  if (::fstat(file_.get(), &facts) != 0) fail_open(spec_.path, errno);
  auto whole = static_cast<std::uint64_t>(facts.st_size);
  if (is_block_device_ && ::ioctl(file_.get(), BLKGETSIZE64, &whole) != 0) {
    fail_errno(FailureKind::failed, "cannot tell the size of " + spec_.path);
  }
  if (spec_.offset > whole || spec_.size.value_or(0) > whole - spec_.offset) {
    throw Failure(FailureKind::usage, "offset " + std::to_string(spec_.offset) + " and size " +
                                          std::to_string(spec_.size.value_or(0)) +
                                          " do not lie within " + spec_.path + ", which has " +
                                          std::to_string(whole) + " bytes");
  }
  about_.size = spec_.size.value_or(whole - spec_.offset);
  about_.description = "file";
  about_.transmission_flags = offered_flags(spec_.read_only);
  about_.block_size.minimum = 1;
  about_.block_size.preferred = 4096;
  if (spec_.cache != FileSpec::Cache::none) return;

  const std::uint32_t alignment = direct_alignment(file_.get());
  if (spec_.offset % alignment != 0) {
    throw Failure(FailureKind::usage, "offset " + std::to_string(spec_.offset) +
                                          " is not a multiple of " + std::to_string(alignment) +
                                          ", which cache=none needs here");
  }
  about_.block_size.minimum = alignment;
  about_.block_size.preferred = std::max<std::uint32_t>(4096, alignment);
  if (about_.size % alignment != 0) {
    log.warning("cache=none cannot reach the last bytes of the file",
                {{"file", spec_.path}, {"bytes", std::to_string(about_.size % alignment)}});
    about_.size -= about_.size % alignment;
  }
}

// A read with RWF_NOWAIT takes what is in the page cache and never waits. Where the file system
// does not know the flag, a plain read is as good in memory (tmpfs), and a gamble elsewhere.
void FileBackend::probe_nowait() {
  std::byte byte{};
  iovec buffer{&byte, 1};
  const ssize_t result = ::preadv2(file_.get(), &buffer, 1, 0, RWF_NOWAIT);
  if (result >= 0 || errno == EAGAIN) {
    reads_now_ = true;
    nowait_flag_ = RWF_NOWAIT;
    return;
  }
  struct statfs facts {};
  if (::fstatfs(file_.get(), &facts) != 0) return;
  reads_now_ = facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC;
}

std::unique_ptr<BackendLane> FileBackend::open_lane(Loop& loop) {
  return std::make_unique<FileLane>(loop, *this);
}

}  // namespace nbdring
