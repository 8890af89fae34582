#include "backends/layers/cow_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "backends/lock_wait.hpp"
#include "client/protocol/bytes.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t header_bytes = 4096;
constexpr std::uint32_t version = 1;
constexpr std::array<char, 16> magic{'n', 'b', 'd', 'r', 'i', 'n', 'g', ' ',
                                     'o', 'v', 'e', 'r', 'l', 'a', 'y', '\n'};

struct OverlayHeader {
  std::array<char, 16> magic;
  Be32 version;
  Be32 block_bytes;
  Be64 base_size;
  Be64 base_mark;
  Be64 map_at;
  Be64 data_at;
  Be64 checksum;  // of all before it
};
static_assert(sizeof(OverlayHeader) == 64 && WireStruct<OverlayHeader>);

std::uint64_t checksum_of(const OverlayHeader& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return fnv(bytes.first(sizeof header - sizeof header.checksum));
}

OverlayHeader header_for(const OverlayBase& base, const BlockMap& map) {
  const std::uint64_t map_end = header_bytes + map.pages() * BlockMap::page_bytes;
  OverlayHeader header{};
  header.magic = magic;
  header.version = version;
  header.block_bytes = static_cast<std::uint32_t>(BlockMap::block_bytes);
  header.base_size = base.size;
  header.base_mark = base.mark;
  header.map_at = header_bytes;
  header.data_at =
      (map_end + BlockMap::block_bytes - 1) / BlockMap::block_bytes * BlockMap::block_bytes;
  header.checksum = checksum_of(header);
  return header;
}

[[noreturn]] void fail(const std::string& path, FailureKind kind, const std::string& problem) {
  throw Failure(kind, "the overlay " + path + " " + problem);
}

/// The whole range, or a Failure.
void read_whole(int fd, std::span<std::byte> bytes, std::uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t result = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) fail_errno(FailureKind::failed, "cannot read the overlay " + path);
    if (result == 0) fail(path, FailureKind::failed, "is cut short");
    at += static_cast<std::uint64_t>(result);
    bytes = bytes.subspan(static_cast<std::size_t>(result));
  }
}

FileDescriptor open_locked(const std::string& path, std::chrono::milliseconds lock_wait, Log& log) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!file.is_open()) fail_errno(FailureKind::failed, "cannot open the overlay " + path);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    fail(path, FailureKind::usage, "is not a regular file");
  }
  // As the file backend's lock: an engine that was killed holds its own until its ring is done.
  LockWait wait(path, lock_wait, log);
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail_errno(FailureKind::failed, "cannot lock the overlay " + path);
    if (!wait.goes_on()) {
      fail(path, FailureKind::busy, "is in use by another program; detach it there first");
    }
  }
  return file;
}

void sync_folder(const std::string& path) {
  const auto parent = std::filesystem::absolute(path).parent_path();
  const FileDescriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) {
    fail_errno(FailureKind::failed, "cannot make the overlay " + path + " stable in its folder");
  }
}

void make_overlay(const FileDescriptor& file, const OverlayHeader& header,
                  const std::string& path) {
  std::array<std::byte, header_bytes> page{};
  std::memcpy(page.data(), &header, sizeof header);
  const std::uint64_t whole = header.data_at + header.base_size;
  if (::pwrite(file.get(), page.data(), page.size(), 0) != static_cast<ssize_t>(page.size()) ||
      ::ftruncate(file.get(), static_cast<off_t>(whole)) != 0 || ::fsync(file.get()) != 0) {
    fail_errno(FailureKind::failed, "cannot make the overlay " + path);
  }
  sync_folder(path);
}

void check_overlay(const FileDescriptor& file, const OverlayHeader& wanted,
                   const std::string& path) {
  std::array<std::byte, header_bytes> page{};
  read_whole(file.get(), page, 0, path);
  const auto header = read_struct<OverlayHeader>(page);
  if (header.magic != magic || header.checksum != checksum_of(header)) {
    fail(path, FailureKind::usage,
         "is a file, but not an overlay; name one that is, or that does not exist yet");
  }
  if (header.version != wanted.version || header.block_bytes != wanted.block_bytes) {
    fail(path, FailureKind::usage,
         "has version " + std::to_string(header.version) + ", which this program does not know");
  }
  if (header.base_size != wanted.base_size) {
    fail(path, FailureKind::usage,
         "belongs to a base of " + std::to_string(header.base_size) + " bytes, and this one has " +
             std::to_string(wanted.base_size) + "; name the overlay of this base");
  }
  if (header.base_mark != wanted.base_mark) {
    fail(path, FailureKind::usage,
         "belongs to another base, or its base was changed since; name the overlay of this base");
  }
}

void load_map(const FileDescriptor& file, BlockMap& map, const std::string& path) {
  for (std::size_t page = 0; page < map.pages(); ++page) {
    read_whole(file.get(), map.page(page), header_bytes + page * BlockMap::page_bytes, path);
    map.loaded(page);
  }
}

/// Its name is gone before anything can fail that would leave it behind.
FileDescriptor make_nameless(std::string path, std::uint64_t bytes) {
  FileDescriptor file;
  if (path.empty()) {
    const char* folder = std::getenv("TMPDIR");
    path = (folder != nullptr && *folder != '\0' ? std::string(folder) : "/var/tmp") +
           "/nbdring.XXXXXX";
    file.reset(::mkostemp(path.data(), O_CLOEXEC));
  } else {
    file.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }
  if (!file.is_open()) fail_errno(FailureKind::failed, "cannot make the file " + path);
  ::unlink(path.c_str());
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) {
    fail_errno(FailureKind::failed, "cannot give " + path + " its size");
  }
  return file;
}

/// Opened anew, so that its lock is the new one's own: a descriptor that somebody holds for later
/// would hold the lock as well, and the writes of a dead engine would keep nobody out.
std::unique_ptr<FileBackend> open_again(const FileDescriptor& file,
                                        std::chrono::milliseconds lock_wait, Log& log) {
  FileSpec spec;
  spec.path = "/proc/self/fd/" + std::to_string(file.get());
  return std::make_unique<FileBackend>(spec, log, lock_wait);
}

}  // namespace

std::uint64_t fnv(std::span<const std::byte> bytes, std::uint64_t hash) {
  for (const std::byte byte : bytes) {
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

OverlayFile open_overlay(const std::string& path, const OverlayBase& base, BlockMap& map,
                         std::chrono::milliseconds lock_wait, Log& log) {
  OverlayFile overlay;
  overlay.file = open_locked(path, lock_wait, log);
  overlay.map_at = header_bytes;
  const OverlayHeader wanted = header_for(base, map);
  struct stat facts {};
  if (::fstat(overlay.file.get(), &facts) != 0) {
    fail_errno(FailureKind::failed, "cannot tell the size of the overlay " + path);
  }
  overlay.is_new = facts.st_size == 0;
  if (!overlay.is_new) check_overlay(overlay.file, wanted, path);
  // One that was only just being made when the power failed has its header and not its size.
  const auto whole = wanted.data_at + wanted.base_size;
  if (static_cast<std::uint64_t>(facts.st_size) < whole) make_overlay(overlay.file, wanted, path);
  load_map(overlay.file, map, path);

  FileSpec spec;
  spec.path = path;
  spec.offset = wanted.data_at;
  spec.size = base.size;
  overlay.data = std::make_unique<FileBackend>(spec, log, lock_wait);
  return overlay;
}

std::unique_ptr<FileBackend> open_scratch_file(const std::string& path, std::uint64_t bytes,
                                               Log& log) {
  const FileDescriptor file = make_nameless(path, bytes);
  return open_again(file, FileBackend::usual_lock_wait, log);
}

std::unique_ptr<FileBackend> open_kept_file(const LayerOptions& options, const std::string& name,
                                            bool must_exist, std::uint64_t bytes, Log& log) {
  Past past = options.past;
  past.after_crash = must_exist;
  auto found = find_kept(past, name);
  if (found && must_exist) return open_again(*found, options.lock_wait, log);
  const FileDescriptor file = make_nameless({}, bytes);
  past.keepsakes->keep(name, file.get());
  return open_again(file, options.lock_wait, log);
}

}  // namespace nbdring
