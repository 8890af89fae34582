#pragma once
// The parts of a cache layer: what its lanes share, and a lane. See backends/layers/cache.hpp.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "backends/file.hpp"
#include "backends/layers/block_buffers.hpp"
#include "backends/layers/cache.hpp"
#include "backends/layers/cache_table.hpp"
#include "backends/layers/layer.hpp"

namespace nbdring {

class CacheBackend final : public LayerBackend {
 public:
  CacheBackend(std::unique_ptr<Backend> under, const CacheOptions& options, Log& log);

  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

 private:
  friend class CacheLane;
  CacheTable table_;
  std::unique_ptr<FileBackend> file_;
};

class CacheLane final : public LayerLane {
 public:
  CacheLane(Loop& loop, std::unique_ptr<BackendLane> under, CacheBackend& shared);

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override;
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override;
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override;

  static constexpr std::uint64_t block_bytes = 64 * 1024;

 private:
  /// Whole blocks in a row that are fetched by one request.
  struct Run {
    static constexpr std::size_t most = 64;
    std::array<CacheTable::Slot, most> slots;
    std::size_t count = 0;
  };

  bool is_whole(std::uint64_t offset, std::uint64_t length) const;
  Task<Status> read_slot(CacheTable::Slot slot, std::uint64_t offset, std::span<std::byte> part);
  Task<Status> fetch_block(CacheTable::Slot slot, std::uint64_t offset, std::span<std::byte> part);
  std::size_t extend(Run& run, std::uint64_t offset, std::uint64_t length);
  Task<Status> fetch_run(Run& run, std::uint64_t offset, std::span<std::byte> buffer);
  Task<void> fill(CacheTable::Slot slot, std::span<const std::byte> bytes);
  Task<void> update(CacheTable::Slot slot, std::uint64_t offset, std::span<const std::byte> part,
                    Status status);
  void spoil(std::uint64_t offset, std::uint64_t length);

  CacheBackend& shared_;
  std::unique_ptr<BackendLane> file_;
  BlockBuffers buffers_;
};

}  // namespace nbdring
