#pragma once
// Memory that can outlive its engine: a memfd, mapped, and held by whoever holds the keepsakes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "client/engine/keepsakes.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

/// What a backend is told of the engine before it.
struct Past {
  Keepsakes* keepsakes = nullptr;  // null: nothing outlives the engine
  bool after_crash = false;        // see OpenOptions
};

/// What was kept under the name. Throws Failure where it is missing after a crash: to begin with
/// nothing would be to read zeros where something had been written.
std::optional<FileDescriptor> find_kept(const Past& past, const std::string& name);

/// A new memfd of that size, zeros. Throws Failure.
FileDescriptor make_memory(const std::string& name, std::uint64_t bytes);

/// The size of an open file. Throws Failure.
std::uint64_t size_of(int fd);

/// A shared mapping of a part of a file, unmapped with its owner.
class Mapping {
 public:
  Mapping() = default;
  /// offset: a multiple of the page size. Throws Failure.
  Mapping(int fd, std::uint64_t offset, std::size_t bytes);
  /// Private zeros, in memory only as they are touched.
  explicit Mapping(std::size_t bytes);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace nbdring
