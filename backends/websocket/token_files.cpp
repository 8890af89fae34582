#include "backends/websocket/token_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "client/runtime/error.hpp"
#include "client/transport/tls_secret.hpp"

namespace nbdring {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds lock_wait{5};  // it is held for a write and two fsyncs
constexpr std::chrono::milliseconds lock_pause{2};
constexpr mode_t writable_by_others = S_IWGRP | S_IWOTH;

[[noreturn]] void fail_path(const std::string& action, const std::string& path) {
  const int error = errno;
  const bool denied = error == EACCES || error == EPERM;
  throw Failure(denied ? FailureKind::refused : FailureKind::failed,
                action + " " + path + ": " + error_text(error) +
                    (denied ? "; run it as who owns the store, e.g. with sudo" : ""));
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool try_lock(int fd, std::uint64_t byte) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = 1;
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  fail_errno(FailureKind::failed, "cannot lock the token store");
}

void write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t bytes = ::write(fd, text.data(), text.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) fail_path("cannot write", path);
    text.remove_prefix(static_cast<std::size_t>(bytes));
  }
}

}  // namespace

TokenFiles::TokenFiles(std::string path) : path_(std::move(path)), folder_(folder_of(path_)) {}

std::string TokenFiles::read() const {
  struct stat found {};
  if (!check_folder()) return "";
  if (::lstat(path_.c_str(), &found) != 0) {
    if (errno == ENOENT) return "";
    fail_path("cannot read", path_);
  }
  return std::string(read_secret_file(path_).content.text());
}

// False: there is no folder.
bool TokenFiles::check_folder() const {
  struct stat found {};
  if (::stat(folder_.c_str(), &found) != 0) {
    if (errno == ENOENT) return false;
    fail_path("cannot look into", folder_);
  }
  if (!S_ISDIR(found.st_mode)) {
    throw Failure(FailureKind::usage, folder_ +
                                          " is not a folder; tokens are kept in a file in a "
                                          "folder that is for its owner alone");
  }
  if (found.st_uid != ::geteuid() && found.st_uid != 0) {
    throw Failure(FailureKind::refused, folder_ + " belongs to user " +
                                            std::to_string(found.st_uid) +
                                            ", who could change the tokens in it; keep them in a "
                                            "folder of who runs nbdring");
  }
  if ((found.st_mode & writable_by_others) != 0) {
    throw Failure(FailureKind::refused, "others may write to " + folder_ +
                                            ", and could change the tokens in it; `chmod 700 " +
                                            folder_ + "`, or keep them elsewhere");
  }
  return true;
}

void TokenFiles::make_folder() const {
  if (check_folder()) return;
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) fail_path("cannot make", folder_);
  check_folder();
}

FileDescriptor TokenFiles::open_lock_file() const {
  const std::string path = path_ + ".lock";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) fail_path("cannot open", path);
  return file;
}

FileDescriptor TokenFiles::lock_for_update() const {
  make_folder();
  FileDescriptor file = open_lock_file();
  const auto deadline = Clock::now() + lock_wait;
  while (!try_lock(file.get(), 0)) {
    if (Clock::now() > deadline) {
      throw Failure(FailureKind::busy, "somebody has been changing " + path_ +
                                           " for seconds; see who holds " + path_ + ".lock");
    }
    std::this_thread::sleep_for(lock_pause);
  }
  return file;
}

void TokenFiles::replace(std::string_view text) const {
  const std::string fresh = path_ + ".new";
  // Left by a crash, if there is one: nobody else writes it while we hold the lock.
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) fail_path("cannot remove", fresh);
  const FileDescriptor file(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) fail_path("cannot make", fresh);
  write_all(file.get(), text, fresh);
  if (::fsync(file.get()) != 0) fail_path("cannot write", fresh);
  if (::rename(fresh.c_str(), path_.c_str()) != 0) fail_path("cannot replace", path_);
  const FileDescriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) fail_path("cannot write", folder_);
}

std::optional<FileDescriptor> TokenFiles::try_lock_byte(std::uint64_t byte) const {
  ENSURE(byte > 0);
  FileDescriptor file = open_lock_file();
  if (!try_lock(file.get(), byte)) return std::nullopt;
  return file;
}

}  // namespace nbdring
