#pragma once
// Requests of parts of blocks, made of whole ones. See backends/layers/blocksize.hpp.

#include "backends/layers/block_buffers.hpp"
#include "backends/layers/block_lock.hpp"
#include "backends/layers/layer.hpp"
#include "client/engine/backend_request.hpp"

namespace nbdring {

class BlocksizeLane final : public LayerLane {
 public:
  /// block: bytes, a power of two. lock: all lanes', of blocks.
  BlocksizeLane(std::unique_ptr<BackendLane> under, Loop& loop, std::uint64_t block,
                BlockLock& lock);

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override;
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override;
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override;
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override;
  void give_up() noexcept override {
    is_given_up_ = true;
    LayerLane::give_up();
  }

 private:
  Task<Status> read_parts(std::uint64_t offset, std::span<std::byte> buffer);
  Task<Status> change(BackendRequest request);
  Task<Status> change_parts(const BackendRequest& request);
  Task<Status> rewrite(const BackendRequest& request, std::uint64_t begin, std::uint64_t end);
  Task<Status> read_ends(std::span<std::byte> buffer, std::uint64_t first, std::uint64_t begin,
                         std::uint64_t end);

  std::uint64_t down(std::uint64_t offset) const { return offset - offset % block_; }
  std::uint64_t up(std::uint64_t offset) const { return down(offset + block_ - 1); }
  bool is_whole(std::uint64_t offset, std::uint64_t length) const {
    return offset % block_ == 0 && length % block_ == 0;
  }

  Loop& loop_;
  const std::uint64_t block_;
  BlockLock& lock_;
  BlockBuffers buffers_;
  bool is_given_up_ = false;
};

}  // namespace nbdring
