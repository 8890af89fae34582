#include "backends/layers/tar.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backends/layers/offset.hpp"
#include "backends/layers/readonly.hpp"
#include "backends/layers/tar_archive.hpp"

namespace nbdring {
namespace {

/// The disk: constant.
class XvaMap {
 public:
  explicit XvaMap(std::vector<XvaBlock> blocks) : blocks_(std::move(blocks)) {
    ENSURE(!blocks_.empty());
  }

  std::uint64_t size() const {
    return blocks_.back().number * xva_block_bytes + blocks_.back().size;
  }
  /// What is at an offset, and for how long it goes on.
  struct Piece {
    const XvaBlock* block;  // null: zeros
    std::uint64_t length;   // bytes
  };
  Piece at(std::uint64_t offset) const {
    const std::uint64_t number = offset / xva_block_bytes;
    const auto next =
        std::lower_bound(blocks_.begin(), blocks_.end(), number,
                         [](const XvaBlock& block, std::uint64_t n) { return block.number < n; });
    ENSURE(next != blocks_.end());
    if (next->number != number) return {nullptr, next->number * xva_block_bytes - offset};
    return {&*next, next->size - offset % xva_block_bytes};
  }

 private:
  std::vector<XvaBlock> blocks_;
};

class XvaLane final : public LayerLane {
 public:
  XvaLane(std::unique_ptr<BackendLane> under, const XvaMap& map)
      : LayerLane(std::move(under)), map_(map) {}

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    while (!buffer.empty()) {
      const auto [block, left] = map_.at(offset);
      const auto part = buffer.first(std::min<std::uint64_t>(left, buffer.size()));
      if (block == nullptr) {
        std::memset(part.data(), 0, part.size());
      } else {
        const std::uint64_t place = block->offset + offset % xva_block_bytes;
        const Status status = co_await below().read(place, part);
        if (!status.is_ok()) co_return status;
      }
      offset += part.size();
      buffer = buffer.subspan(part.size());
    }
    co_return Status::ok();
  }

  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    list.used = 0;
    while (length > 0 && list.used < list.descriptors.size()) {
      const auto [block, left] = map_.at(offset);
      const std::uint64_t part = std::min({left, length, std::uint64_t{UINT32_MAX}});
      const std::uint32_t flags = block == nullptr ? nbd::extent_hole | nbd::extent_zero : 0;
      list.descriptors[list.used++] = {static_cast<std::uint32_t>(part), flags};
      offset += part;
      length -= part;
    }
    co_return Status::ok();
  }

 private:
  const XvaMap& map_;
};

class XvaBackend final : public LayerBackend {
 public:
  XvaBackend(std::unique_ptr<Backend> under, std::vector<XvaBlock> blocks)
      : LayerBackend(std::move(under)), map_(std::move(blocks)) {
    offer().size = map_.size();
  }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<XvaLane>(below().open_lane(loop), map_);
  }

 private:
  const XvaMap map_;
};

}  // namespace

std::unique_ptr<Backend> make_tar_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log&) {
  std::string name = argument.text();
  while (name.starts_with("./")) name.erase(0, 2);
  while (!name.empty() && name.back() == '/') name.pop_back();
  if (name.empty()) argument.refuse("it names no member");
  TarFound found;
  {
    LayerProbe archive(*below, argument);
    found = find_in_tar(archive, name);
  }
  if (found.member) {
    return windowed(std::move(below), {found.member->offset, found.member->size}, argument);
  }
  // Blocks lie at multiples of 512.
  const std::uint32_t block = below->about().block_size.minimum;
  if (block > 512 || found.blocks.back().size % block != 0) {
    argument.fail(FailureKind::usage, "the blocks below, of " + std::to_string(block) +
                                          " bytes, are too large; say --layer blocksize=1 behind "
                                          "it");
  }
  return read_only(std::make_unique<XvaBackend>(std::move(below), std::move(found.blocks)));
}

}  // namespace nbdring
