#pragma once
// The parts of a cow layer: what its lanes share, and a lane. See backends/layers/cow.hpp.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "backends/layers/block_buffers.hpp"
#include "backends/layers/block_lock.hpp"
#include "backends/layers/block_map.hpp"
#include "backends/layers/cow.hpp"
#include "backends/layers/cow_file.hpp"
#include "backends/layers/cow_memory.hpp"
#include "backends/layers/layer.hpp"
#include "client/engine/backend_request.hpp"

namespace nbdring {

class CowBackend final : public LayerBackend {
 public:
  CowBackend(std::unique_ptr<Backend> under, const CowOptions& options, Log& log);

  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

 private:
  friend class CowLane;

  void open_kept_overlay(const CowOptions& options, Log& log);

  /// Somebody can come back to the overlay.
  bool is_kept() const { return overlay_.file.is_open(); }

  CowMemory memory_;
  BlockMap map_;
  OverlayFile overlay_;
  BlockLock changes_;  // blocks that become the overlay's
  BlockLock saves_;    // block 0: one save at a time
  std::atomic<std::uint64_t> saves_begun_{0};
  /// The errno of the first sync that failed. The kernel tells of lost pages once: from then on
  /// nobody knows which blocks are on the disk, and the map must not say that they are.
  std::atomic<int>& sync_error_;
  std::uint64_t saved_ = 0;  // the youngest save that succeeded; under saves_
};

class CowLane final : public LayerLane {
 public:
  CowLane(Loop& loop, std::unique_ptr<BackendLane> below, CowBackend& shared);

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return change(BackendRequest::write(offset, buffer, fua));
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return change(BackendRequest::write_zeroes(offset, length, mode));
  }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override;
  Task<Status> flush() override;
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override;
  Task<Status> close() override;
  void give_up() noexcept override;
  FramePool& frames() override { return loop_.frames(); }

 private:
  struct Blocks {
    std::uint64_t begin, end;  // behind the last
  };
  static Blocks blocks_of(std::uint64_t offset, std::uint64_t length);
  /// The end of the bytes from position on that are all the overlay's, or all from below.
  std::uint64_t run_end(std::uint64_t position, std::uint64_t end, bool changed) const;

  Task<Status> change(BackendRequest request);
  Task<Status> change_new(BackendRequest request);
  Task<Status> copy_up(std::uint64_t begin, std::uint64_t end);
  Task<Status> save();
  Task<Status> sync();
  Task<Status> write_page(std::size_t page);

  Loop& loop_;
  CowBackend& shared_;
  std::unique_ptr<BackendLane> data_;
  BlockBuffers buffers_;
  bool was_used_ = false;
  bool is_given_up_ = false;
};

}  // namespace nbdring
