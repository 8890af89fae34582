#pragma once
// memory:SIZE - bytes in this process's memory, gone with it. For trying and measuring: the fastest
// thing that still keeps what was written. Sparse: memory is taken when it is first written, and
// given back by TRIM and WRITE_ZEROES.

#include <cstddef>
#include <cstdint>
#include <span>

#include "client/engine/backend.hpp"

namespace nbdring {

class MemoryBackend final : public Backend {
 public:
  /// Throws Failure where so much address space cannot be had.
  explicit MemoryBackend(std::uint64_t size, bool read_only = false);
  ~MemoryBackend() override;
  MemoryBackend(const MemoryBackend&) = delete;
  MemoryBackend& operator=(const MemoryBackend&) = delete;

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  std::span<std::byte> bytes() { return bytes_; }

 private:
  Export about_;
  std::span<std::byte> bytes_;
};

}  // namespace nbdring
