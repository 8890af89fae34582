#pragma once
// Requests that begin or end within a block of the server: READs take what they need of it, changes
// read the block, change their part and write it back, under a lock on all blocks that they touch.
// Reads need no lock: what they see of a block under change is what was there, or what is written.
//
// The blocks' buffers are there from the start; a request has at most one at a time, so waiting for
// one always ends. One loop's thread, and the only one that changes the export.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/nbd/range_lock.hpp"
#include "backends/nbd/shape.hpp"

namespace nbdring {

class ShapeBlocks {
 public:
  explicit ShapeBlocks(Shape& shape);
  ~ShapeBlocks();

  Task<Answer> read(std::uint64_t offset, std::span<std::byte> buffer);
  /// Any change, of whole blocks too.
  Task<Answer> change(BackendRequest request);

  FramePool& frames() { return shape_.frames(); }

 private:
  static constexpr std::size_t buffers_max = 8;
  class FreeBuffer;
  /// A request and the whole blocks in it. Where it lies within one block there are none.
  struct Parts {
    std::uint64_t begin, first, last, end;  // begin..first and last..end are parts of blocks
  };

  Parts parts_of(std::uint64_t offset, std::uint64_t length) const;
  Task<Answer> read_part(std::uint64_t offset, std::span<std::byte> part);
  Task<Answer> change_part(const BackendRequest& request, std::uint64_t begin, std::uint64_t end);
  Task<Answer> change_locked(BackendRequest request);
  void give_back(std::byte* buffer) noexcept;

  Shape& shape_;
  const std::uint64_t block_;  // bytes
  RangeLock lock_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> free_;
  FreeBuffer* first_waiting_ = nullptr;
  FreeBuffer* last_waiting_ = nullptr;
};

}  // namespace nbdring
