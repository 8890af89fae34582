#include "backends/layers/cache_lane.hpp"

#include <algorithm>
#include <cstring>

namespace nbdring {
namespace {

constexpr std::uint64_t block_bytes = CacheLane::block_bytes;
constexpr std::size_t fetches_at_once = 16;  // of parts of a block, per lane; 1 MiB
constexpr std::size_t updates_most = 17;     // blocks; a larger change is not kept in the cache

std::uint64_t length_in_block(std::uint64_t offset, std::uint64_t length) {
  return std::min(length, block_bytes - offset % block_bytes);
}

}  // namespace

CacheLane::CacheLane(Loop& loop, std::unique_ptr<BackendLane> under, CacheBackend& shared)
    : LayerLane(std::move(under)),
      shared_(shared),
      file_(shared.file_->open_lane(loop)),
      buffers_(fetches_at_once, block_bytes) {}

bool CacheLane::is_whole(std::uint64_t offset, std::uint64_t length) const {
  return offset % block_bytes == 0 &&
         (length >= block_bytes || offset + length == shared_.about().size);
}

Task<Status> CacheLane::read(std::uint64_t offset, std::span<std::byte> buffer) {
  Status status;
  while (!buffer.empty() && status.is_ok()) {
    std::size_t count = length_in_block(offset, buffer.size());
    CacheTable::Slot slot = 0;
    const auto found = shared_.table_.look_up(offset / block_bytes, slot);
    if (found == CacheTable::Found::hit) {
      status = co_await read_slot(slot, offset, buffer.first(count));
    } else if (found == CacheTable::Found::pass) {
      status = co_await below().read(offset, buffer.first(count));
    } else if (is_whole(offset, buffer.size())) {
      Run run;
      run.slots[run.count++] = slot;
      count = extend(run, offset, buffer.size());
      status = co_await fetch_run(run, offset, buffer.first(count));
    } else {
      status = co_await fetch_block(slot, offset, buffer.first(count));
    }
    offset += count;
    buffer = buffer.subspan(count);
  }
  co_return status;
}

Task<Status> CacheLane::read_slot(CacheTable::Slot slot, std::uint64_t offset,
                                  std::span<std::byte> part) {
  Status status = co_await file_->read(slot * block_bytes + offset % block_bytes, part);
  shared_.table_.leave_read(slot);
  if (!status.is_ok()) {
    status = co_await below().read(offset, part);
  }
  co_return status;
}

/// Fetches the whole block for a part of it.
Task<Status> CacheLane::fetch_block(CacheTable::Slot slot, std::uint64_t offset,
                                    std::span<std::byte> part) {
  const std::uint64_t begin = offset / block_bytes * block_bytes;
  BlockBuffers::Lease lease(buffers_);
  Status status = Status::from_errno(EAGAIN);
  if (lease.take()) {
    const auto block = lease.bytes().first(length_in_block(begin, shared_.about().size - begin));
    status = co_await below().read(begin, block);
    if (status.is_ok()) {
      std::memcpy(part.data(), block.data() + (offset - begin), part.size());
      co_await fill(slot, block);
      co_return status;
    }
  }
  shared_.table_.leave_fetch(slot, false);
  // What failed may have been another part of the block.
  co_return co_await below().read(offset, part);
}

/// Takes what else of the request is whole blocks to be fetched. Its length from offset on.
std::size_t CacheLane::extend(Run& run, std::uint64_t offset, std::uint64_t length) {
  std::uint64_t taken = length_in_block(offset, length);
  while (run.count < Run::most && taken < length && is_whole(offset + taken, length - taken)) {
    CacheTable::Slot slot = 0;
    const auto found = shared_.table_.look_up((offset + taken) / block_bytes, slot);
    if (found == CacheTable::Found::hit) shared_.table_.leave_read(slot);
    if (found != CacheTable::Found::fetch) break;
    run.slots[run.count++] = slot;
    taken += length_in_block(offset + taken, length - taken);
  }
  return taken;
}

Task<Status> CacheLane::fetch_run(Run& run, std::uint64_t offset, std::span<std::byte> buffer) {
  const Status status = co_await below().read(offset, buffer);
  for (std::size_t i = 0; i < run.count; ++i) {
    if (!status.is_ok()) {
      shared_.table_.leave_fetch(run.slots[i], false);
      continue;
    }
    const auto left = buffer.subspan(i * block_bytes);
    co_await fill(run.slots[i], left.first(std::min<std::size_t>(left.size(), block_bytes)));
  }
  co_return status;
}

// A file that has no room, or a disk that fails, costs the cache a block and the client nothing.
Task<void> CacheLane::fill(CacheTable::Slot slot, std::span<const std::byte> bytes) {
  const Status status = co_await file_->write(slot * block_bytes, bytes, false);
  shared_.table_.leave_fetch(slot, status.is_ok());
}

Task<Status> CacheLane::write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) {
  const std::uint64_t first = offset / block_bytes;
  const std::uint64_t last = (offset + buffer.size() - 1) / block_bytes;
  const std::size_t count = last - first < updates_most ? last - first + 1 : 0;
  std::array<std::optional<CacheTable::Slot>, updates_most> slots;
  for (std::size_t i = 0; i < count; ++i) slots[i] = shared_.table_.begin_change(first + i);
  const Status status = co_await below().write(offset, buffer, fua);
  if (count == 0) spoil(offset, buffer.size());
  std::uint64_t position = offset;
  for (std::size_t i = 0; i < count; ++i) {
    const auto left = buffer.subspan(position - offset);
    const auto part = left.first(length_in_block(position, left.size()));
    if (slots[i].has_value()) {
      co_await update(*slots[i], position, part, status);
    } else {
      shared_.table_.spoil(first + i);
    }
    position += part.size();
  }
  co_return status;
}

Task<void> CacheLane::update(CacheTable::Slot slot, std::uint64_t offset,
                             std::span<const std::byte> part, Status status) {
  bool done = status.is_ok() && shared_.table_.may_update(slot);
  if (done) {
    const std::uint64_t at = slot * block_bytes + offset % block_bytes;
    const Status updated = co_await file_->write(at, part, false);
    done = updated.is_ok();
  }
  shared_.table_.leave_change(slot, done);
}

void CacheLane::spoil(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t last = (offset + length - 1) / block_bytes;
  for (std::uint64_t block = offset / block_bytes; block <= last; ++block) {
    shared_.table_.spoil(block);
  }
}

Task<Status> CacheLane::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  const Status status = co_await below().trim(offset, length, fua);
  spoil(offset, length);
  co_return status;
}

Task<Status> CacheLane::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
  const Status status = co_await below().write_zeroes(offset, length, mode);
  spoil(offset, length);
  co_return status;
}

}  // namespace nbdring
