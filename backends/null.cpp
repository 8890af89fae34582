#include "backends/null.hpp"

#include <cstring>

#include "backends/offered_flags.hpp"

namespace nbdring {
namespace {

class NullLane final : public BackendLane {
 public:
  explicit NullLane(Loop& loop) : loop_(loop) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t, std::span<std::byte> buffer) override {
    std::memset(buffer.data(), 0, buffer.size());
    co_return Status::ok();
  }
  Task<Status> write(std::uint64_t, std::span<const std::byte>, bool) override {
    co_return Status::ok();
  }
  Task<Status> flush() override { co_return Status::ok(); }
  Task<Status> trim(std::uint64_t, std::uint64_t, bool) override { co_return Status::ok(); }
  Task<Status> write_zeroes(std::uint64_t, std::uint64_t, ZeroMode) override {
    co_return Status::ok();
  }
  Task<Status> extents(std::uint64_t, std::uint64_t length, ExtentList& list) override {
    list.descriptors[0] =
        nbd::Extent{static_cast<std::uint32_t>(length), nbd::extent_hole | nbd::extent_zero};
    list.used = 1;
    co_return Status::ok();
  }

 private:
  Loop& loop_;
};

}  // namespace

NullBackend::NullBackend(std::uint64_t size, bool read_only) {
  about_.size = size;
  about_.description = "null";
  about_.block_size.minimum = 1;
  about_.transmission_flags = offered_flags(read_only);
}

std::unique_ptr<BackendLane> NullBackend::open_lane(Loop& loop) {
  return std::make_unique<NullLane>(loop);
}

}  // namespace nbdring
