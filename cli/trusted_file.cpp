#include "cli/trusted_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr std::size_t bytes_max = 1024 * 1024;

void refuse_unsafe(const struct stat& file, const std::string& name, uid_t user) {
  if (!S_ISREG(file.st_mode)) {
    throw Failure(FailureKind::failed, name + " is not a regular file");
  }
  if (user == 0 && (file.st_uid != 0 || (file.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    throw Failure(FailureKind::failed, name +
                                           " can be written by others than root, who would then "
                                           "decide what root runs; chown root, chmod go-w");
  }
}

std::string read_all(int fd, const std::string& name) {
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const ssize_t bytes = ::read(fd, part.data(), part.size());
    if (bytes < 0) fail_errno(FailureKind::failed, "cannot read " + name);
    if (bytes == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(bytes));
    if (text.size() > bytes_max) {
      throw Failure(FailureKind::failed, name + " is larger than 1 MiB");
    }
  }
}

}  // namespace

std::optional<std::string> read_trusted_file(const std::string& path, uid_t user,
                                             const std::string& what) {
  const std::string name = what + " " + path;
  // Not to wait for the writer of a pipe; it is refused.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  struct stat file {};
  if (!fd.is_open() || ::fstat(fd.get(), &file) != 0) {
    fail_errno(FailureKind::failed, "cannot read " + name);
  }
  refuse_unsafe(file, name, user);
  return read_all(fd.get(), name);
}

}  // namespace nbdring
