#pragma once
// memory:SIZE - bytes in this process's memory, gone with it, or with whoever holds its keepsakes
// ("memory"). For trying and measuring: the fastest thing that still keeps what was written.
// Sparse: memory is taken when it is first written, and given back by TRIM and WRITE_ZEROES.

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/kept_memory.hpp"
#include "client/engine/backend.hpp"

namespace nbdring {

class MemoryBackend final : public Backend {
 public:
  /// Throws Failure where so much address space cannot be had, or what was kept is lost.
  explicit MemoryBackend(std::uint64_t size, bool read_only = false, const Past& past = {});

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  std::span<std::byte> bytes() { return memory_.bytes(); }

 private:
  void make(const Past& past);

  Export about_;
  FileDescriptor file_;  // where it is kept
  Mapping memory_;
};

}  // namespace nbdring
