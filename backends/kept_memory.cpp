#include "backends/kept_memory.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::span<std::byte> map(std::size_t bytes, int flags, int fd, std::uint64_t offset) {
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
  if (memory == MAP_FAILED) {
    fail_errno(FailureKind::failed, "cannot map " + std::to_string(bytes) + " bytes of memory");
  }
  return {static_cast<std::byte*>(memory), bytes};
}

}  // namespace

std::optional<FileDescriptor> find_kept(const Past& past, const std::string& name) {
  if (past.keepsakes == nullptr) return std::nullopt;
  auto found = past.keepsakes->find(name);
  if (!found && past.after_crash) {
    throw Failure(FailureKind::failed,
                  "what was only in the memory of the engine that died is lost (" + name +
                      "): detach the device and attach it again");
  }
  return found;
}

FileDescriptor make_memory(const std::string& name, std::uint64_t bytes) {
  FileDescriptor memory(::memfd_create(("nbdring-" + name).c_str(), MFD_CLOEXEC));
  if (!memory.is_open() || ::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    fail_errno(FailureKind::failed,
               "cannot make " + std::to_string(bytes) + " bytes of memory for " + name);
  }
  return memory;
}

std::uint64_t size_of(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) {
    fail_errno(FailureKind::failed, "cannot tell the size of an open file");
  }
  return static_cast<std::uint64_t>(facts.st_size);
}

Mapping::Mapping(int fd, std::uint64_t offset, std::size_t bytes)
    : bytes_(map(bytes, MAP_SHARED, fd, offset)) {}

Mapping::Mapping(std::size_t bytes)
    : bytes_(map(bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}

Mapping::Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace nbdring
