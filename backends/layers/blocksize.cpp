#include "backends/layers/blocksize.hpp"

#include <algorithm>
#include <bit>

#include "backends/layers/blocksize_lane.hpp"
#include "backends/nbd/shape_rules.hpp"

namespace nbdring {
namespace {

/// The same requests; only extents begin and end with the larger blocks.
class LargerBlocksLane final : public LayerLane {
 public:
  LargerBlocksLane(std::unique_ptr<BackendLane> under, std::uint32_t block)
      : LayerLane(std::move(under)), block_(block) {}

  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    const Status status = co_await below().extents(offset, length, list);
    if (!status.is_ok()) co_return status;
    const auto found = list.descriptors.first(list.used);
    list.used = align_extents(found, block_);
    co_return status;
  }

 private:
  const std::uint32_t block_;
};

class BlocksizeBackend final : public LayerBackend {
 public:
  BlocksizeBackend(std::unique_ptr<Backend> under, std::uint32_t block)
      : LayerBackend(std::move(under)), below_block_(about().block_size.minimum) {
    auto& sizes = offer().block_size;
    sizes.minimum = block;
    sizes.preferred = std::max({sizes.preferred, block, below_block_});
    sizes.maximum = std::max(sizes.maximum - sizes.maximum % block, sizes.preferred);
    offer().size -= about().size % std::max(block, below_block_);
  }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    const std::uint32_t block = about().block_size.minimum;
    auto under = below().open_lane(loop);
    if (block >= below_block_) return std::make_unique<LargerBlocksLane>(std::move(under), block);
    return std::make_unique<BlocksizeLane>(std::move(under), loop, below_block_, lock_);
  }

 private:
  const std::uint32_t below_block_;
  BlockLock lock_;
};

}  // namespace

std::unique_ptr<Backend> make_blocksize_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log& log) {
  const std::uint64_t block = argument.bytes(argument.text());
  if (!std::has_single_bit(block) || block > nbd::largest_minimum_block) {
    argument.refuse("'" + argument.text() + "' is not a power of two from 1 to 65536");
  }
  const std::uint64_t whole = below->about().size;
  auto layer = std::make_unique<BlocksizeBackend>(std::move(below), static_cast<uint32_t>(block));
  const std::uint64_t size = layer->about().size;
  if (size == 0) argument.fail(FailureKind::usage, "there is not one such block below");
  if (size < whole) {
    log.warning("--layer blocksize cannot reach the last bytes",
                {{"blocksize", std::to_string(block)}, {"bytes", std::to_string(whole - size)}});
  }
  return layer;
}

}  // namespace nbdring
