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

CowBackend::CowBackend(std::unique_ptr<Backend> under, const CowOptions& options, Log& log)
    : LayerBackend(checked(std::move(under))),
      memory_(about().size, BlockMap::words_for(about().size), options.layer.past,
              options.map_keepsake),
      map_(about().size, memory_.words()),
      sync_error_(memory_.sync_error()) {
  offer().transmission_flags = offered_flags(false);
  if (!options.path.empty()) {
    open_kept_overlay(options, log);
  } else if (options.layer.past.keepsakes != nullptr) {
    overlay_.data = open_kept_file(options.layer, options.data_keepsake, memory_.was_found(),
                                   about().size, log);
  } else {
    overlay_.data = open_scratch_file({}, about().size, log);
  }
  memory_.keep();
}

void CowBackend::open_kept_overlay(const CowOptions& options, Log& log) {
  OverlayBase base;
  base.size = about().size;
  base.mark = mark_of(below());
  overlay_ = open_overlay(options.path, base, map_, options.layer.lock_wait, log);
  if (memory_.was_found() && overlay_.is_new) {
    throw Failure(FailureKind::failed, "the overlay " + options.path +
                                           " is empty and was not when the device was attached");
  }
}

std::unique_ptr<BackendLane> CowBackend::open_lane(Loop& loop) {
  return std::make_unique<CowLane>(loop, below().open_lane(loop), *this);
}

std::unique_ptr<Backend> copy_on_write(std::unique_ptr<Backend> below, const CowOptions& options,
                                       Log& log) {
  return std::make_unique<CowBackend>(std::move(below), options, log);
}

std::unique_ptr<Backend> make_cow_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log) {
  CowOptions options;
  options.path = argument.text();
  options.layer = argument.options();
  options.map_keepsake = argument.keepsake("map");
  options.data_keepsake = argument.keepsake("data");
  return copy_on_write(std::move(below), options, log);
}

}  // namespace nbdring
