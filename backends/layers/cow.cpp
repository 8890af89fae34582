#include "backends/layers/cow.hpp"

#include <algorithm>
#include <vector>

#include "backends/layers/cow_lane.hpp"
#include "backends/offered_flags.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t largest_base = std::uint64_t{64} << 40;  // bytes; 256 MiB of memory

Task<Status> add_to_mark(BackendLane& lane, std::uint64_t offset, std::span<std::byte> buffer,
                         std::uint64_t& mark) {
  const Status status = co_await lane.read(offset, buffer);
  mark = fnv(buffer, mark);
  co_return status;
}

Task<void> make_mark(BackendLane& lane, std::uint64_t size, std::uint64_t& mark, Status& status) {
  std::vector<std::byte> block(std::min(size, BlockMap::block_bytes));
  const std::uint64_t last = (size - 1) / BlockMap::block_bytes * BlockMap::block_bytes;
  status = co_await add_to_mark(lane, 0, block, mark);
  if (status.is_ok() && last > 0) {
    status = co_await add_to_mark(lane, last, std::span(block).first(size - last), mark);
  }
  const Status closed = co_await lane.close();
  if (status.is_ok()) status = closed;
}

/// What the base is known by: its first and last block.
std::uint64_t mark_of(Backend& base) {
  std::uint64_t mark = fnv_start;
  if (base.about().size == 0) return mark;
  Status status;
  Loop loop;
  const auto lane = base.open_lane(loop);
  loop.run(make_mark(*lane, base.about().size, mark, status));
  if (!status.is_ok()) {
    fail_errno(FailureKind::failed, "--layer cow: cannot read what is below", status.error());
  }
  return mark;
}

std::unique_ptr<Backend> checked(std::unique_ptr<Backend> below) {
  if (below->about().size > largest_base) {
    throw Failure(FailureKind::usage, "--layer cow: what is below has " +
                                          std::to_string(below->about().size) +
                                          " bytes; it must not have more than 64 TiB");
  }
  if (below->about().block_size.maximum < BlockMap::block_bytes) {
    throw Failure(FailureKind::usage,
                  "--layer cow: what is below takes requests of " +
                      std::to_string(below->about().block_size.maximum) +
                      " bytes at most, and a block has 64 KiB; put the layer blocksize below it");
  }
  return below;
}

}  // namespace

CowBackend::CowBackend(std::unique_ptr<Backend> under, const std::string& path, Log& log)
    : LayerBackend(checked(std::move(under))), map_(about().size) {
  offer().transmission_flags = offered_flags(false);
  if (path.empty()) {
    overlay_.data = open_scratch_file(path, about().size, log);
    return;
  }
  OverlayBase base;
  base.size = about().size;
  base.mark = mark_of(below());
  overlay_ = open_overlay(path, base, map_, log);
}

std::unique_ptr<BackendLane> CowBackend::open_lane(Loop& loop) {
  return std::make_unique<CowLane>(loop, below().open_lane(loop), *this);
}

std::unique_ptr<Backend> copy_on_write(std::unique_ptr<Backend> below, const std::string& path,
                                       Log& log) {
  return std::make_unique<CowBackend>(std::move(below), path, log);
}

std::unique_ptr<Backend> make_cow_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log) {
  return copy_on_write(std::move(below), argument.text(), log);
}

}  // namespace nbdring
