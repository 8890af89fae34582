#pragma once
// A backend's lane, used by plain calls: each runs the loop until its operation has ended.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "client/engine/backend.hpp"

namespace nbdring {

class BackendUser {
 public:
  explicit BackendUser(Backend& backend) : lane_(backend.open_lane(loop_)) {}

  int read(std::uint64_t offset, std::span<std::byte> buffer) {
    return run(lane_->read(offset, buffer));
  }
  int write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua = false) {
    return run(lane_->write(offset, buffer, fua));
  }
  int flush() { return run(lane_->flush()); }
  int trim(std::uint64_t offset, std::uint64_t length, bool fua = false) {
    return run(lane_->trim(offset, length, fua));
  }
  int write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode = {}) {
    return run(lane_->write_zeroes(offset, length, mode));
  }
  int extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
    return run(lane_->extents(offset, length, list));
  }

  /// All extents of a range, at most `descriptors`; checks that they lie within it.
  std::vector<nbd::Extent> extents(std::uint64_t offset, std::uint64_t length,
                                   std::size_t descriptors = 64) {
    std::vector<nbd::Extent> found(descriptors);
    ExtentList list{found, 0};
    ENSURE(extents(offset, length, list) == 0);
    found.resize(list.used);
    return found;
  }

 private:
  static Task<void> keep(Loop&, Task<Status>& operation, Status& status) {
    status = co_await operation;
  }
  /// The errno that the operation ended with, or 0.
  int run(Task<Status> operation) {
    Status status = Status::from_errno(-1);
    loop_.run(keep(loop_, operation, status));
    return status.error();
  }

  Loop loop_;
  std::unique_ptr<BackendLane> lane_;
};

/// Memory for requests, aligned as a lane's buffers are.
class AlignedBuffer {
 public:
  explicit AlignedBuffer(std::size_t bytes) : memory_(bytes + 4096), bytes_(bytes) {}
  std::span<std::byte> span() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return std::span(memory_).subspan((4096 - address % 4096) % 4096, bytes_);
  }

 private:
  std::vector<std::byte> memory_;
  std::size_t bytes_;
};

}  // namespace nbdring
