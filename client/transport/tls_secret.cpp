#include "client/transport/tls_secret.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

constexpr mode_t others = S_IRWXG | S_IRWXO;

std::string octal(mode_t mode) {
  std::string text = "0";
  for (const int shift : {6, 3, 0}) text += static_cast<char>('0' + ((mode >> shift) & 7));
  return text;
}

FileDescriptor open_to_read(const std::string& path, int flags) {
  // O_NONBLOCK: a FIFO in the file's place must not keep us waiting.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags));
  if (file.is_open()) return file;
  if (errno == ELOOP) {
    throw Failure(FailureKind::refused,
                  path + ": a file with keys may not be a symbolic link; name the file itself");
  }
  fail_errno(FailureKind::usage, "cannot read " + path);
}

struct stat look_at(const FileDescriptor& file, const std::string& path) {
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) fail_errno(FailureKind::usage, "cannot read " + path);
  if (!S_ISREG(found.st_mode)) {
    throw Failure(FailureKind::usage, path + " is not a file; name the file that holds the keys");
  }
  if (static_cast<std::size_t>(found.st_size) > key_file_bytes_max) {
    throw Failure(FailureKind::usage, path + " is larger than 1 MiB; that is no file with keys");
  }
  return found;
}

void check_privacy(const struct stat& found, const std::string& path) {
  if (found.st_uid != ::geteuid() && found.st_uid != 0) {
    throw Failure(FailureKind::refused,
                  path + " belongs to user " + std::to_string(found.st_uid) +
                      ", who could change the keys; `chown` it to who runs nbdring, or to root");
  }
  if ((found.st_mode & others) != 0) {
    throw Failure(FailureKind::refused, path + " has mode " + octal(found.st_mode) +
                                            ": others can get at its keys; `chmod 600 " + path +
                                            "`");
  }
}

std::size_t read_all(const FileDescriptor& file, std::span<std::byte> into,
                     const std::string& path) {
  std::size_t have = 0;
  while (have < into.size()) {
    const ssize_t bytes = ::read(file.get(), into.data() + have, into.size() - have);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) fail_errno(FailureKind::usage, "cannot read " + path);
    if (bytes == 0) break;
    have += static_cast<std::size_t>(bytes);
  }
  return have;
}

}  // namespace

SecretBytes::SecretBytes(std::size_t size) : size_(size) {
  if (size == 0) return;
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) fail_errno(FailureKind::failed, "no memory for keys");
  // Both can be forbidden (a container's limit): the keys are still private to the process.
  ::mlock(pages, size);
  ::madvise(pages, size, MADV_DONTDUMP);
  data_ = static_cast<std::byte*>(pages);
}

SecretBytes::~SecretBytes() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, size_);
  ::munmap(data_, size_);
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

FileVersion FileVersion::of(const struct stat& file) {
  return {file.st_dev, file.st_ino, file.st_size, file.st_mtim};
}

bool operator==(const FileVersion& left, const FileVersion& right) {
  return left.device == right.device && left.inode == right.inode && left.size == right.size &&
         left.modified.tv_sec == right.modified.tv_sec &&
         left.modified.tv_nsec == right.modified.tv_nsec;
}

SecretFile read_secret_file(const std::string& path) {
  const FileDescriptor file = open_to_read(path, O_NOFOLLOW);
  const struct stat found = look_at(file, path);
  check_privacy(found, path);
  SecretFile secret{SecretBytes(static_cast<std::size_t>(found.st_size)), FileVersion::of(found)};
  const std::size_t have = read_all(file, secret.content.bytes(), path);
  if (have < secret.content.bytes().size()) {
    throw Failure(FailureKind::usage, path + " became shorter while it was read; try again");
  }
  return secret;
}

std::string read_public_file(const std::string& path) {
  const FileDescriptor file = open_to_read(path, 0);
  std::string content(static_cast<std::size_t>(look_at(file, path).st_size), '\0');
  content.resize(read_all(file, std::as_writable_bytes(std::span(content)), path));
  return content;
}

}  // namespace nbdring
