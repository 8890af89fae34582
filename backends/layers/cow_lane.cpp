#include "backends/layers/cow_lane.hpp"

#include <algorithm>
#include <cerrno>

namespace nbdring {
namespace {

constexpr std::uint64_t block_bytes = BlockMap::block_bytes;
constexpr std::size_t copies_at_once = 8;  // per lane; 512 KiB

}  // namespace

CowLane::CowLane(Loop& loop, std::unique_ptr<BackendLane> below, CowBackend& shared)
    : LayerLane(std::move(below)),
      loop_(loop),
      shared_(shared),
      data_(shared.overlay_.data->open_lane(loop)),
      buffers_(copies_at_once, block_bytes) {}

CowLane::Blocks CowLane::blocks_of(std::uint64_t offset, std::uint64_t length) {
  return {offset / block_bytes, (offset + length - 1) / block_bytes + 1};
}

std::uint64_t CowLane::run_end(std::uint64_t position, std::uint64_t end, bool changed) const {
  const Blocks blocks = blocks_of(position, end - position);
  // The first block counts as the caller has seen it, though it may have changed meanwhile.
  return std::min(end, shared_.map_.run_end(blocks.begin + 1, blocks.end, changed) * block_bytes);
}

Task<Status> CowLane::read(std::uint64_t offset, std::span<std::byte> buffer) {
  const std::uint64_t end = offset + buffer.size();
  Status status;
  for (std::uint64_t position = offset; position < end && status.is_ok();) {
    const bool changed = shared_.map_.has(position / block_bytes);
    const std::uint64_t next = run_end(position, end, changed);
    BackendLane& source = changed ? *data_ : below();
    status = co_await source.read(position, buffer.subspan(position - offset, next - position));
    position = next;
  }
  co_return status;
}

Task<Status> CowLane::change(BackendRequest request) {
  was_used_ = true;
  const Blocks blocks = blocks_of(request.offset, request.length);
  const bool fua = (request.fua || request.mode.fua) && shared_.is_kept();
  const bool is_old = shared_.map_.has_all(blocks.begin, blocks.end);
  const bool is_whole = fua && is_old && shared_.map_.is_saved(blocks.begin, blocks.end);
  request.fua = is_whole && request.fua;
  request.mode.fua = is_whole && request.mode.fua;
  Status status;
  if (is_old) {
    status = co_await perform(*data_, request);
    if (is_whole && status.error() == EIO) shared_.sync_error_ = EIO;
  } else {
    status = co_await change_new(request);
  }
  if (status.is_ok() && fua && !is_whole) {
    status = co_await flush();
  }
  co_return status;
}

// Some of the blocks are not the overlay's yet, or were not a moment ago.
Task<Status> CowLane::change_new(BackendRequest request) {
  const Blocks blocks = blocks_of(request.offset, request.length);
  BlockLock::Range range(shared_.changes_, loop_, blocks.begin, blocks.end);
  co_await range.wait();
  if (is_given_up_) co_return Status::from_errno(ECANCELED);
  const std::uint64_t begin = blocks.begin * block_bytes;
  const std::uint64_t end = request.offset + request.length;
  const std::uint64_t blocks_end = std::min(shared_.about().size, blocks.end * block_bytes);
  const bool copies_head = begin < request.offset && !shared_.map_.has(blocks.begin);
  const bool copies_tail = end < blocks_end && !shared_.map_.has(blocks.end - 1);
  // Copying is what FAST_ZERO asks not to do.
  if (request.mode.fast_zero && (copies_head || copies_tail)) {
    co_return Status::from_errno(ENOTSUP);
  }
  Status status;
  if (copies_head) {
    status = co_await copy_up(begin, request.offset);
  }
  if (copies_tail && status.is_ok()) {
    status = co_await copy_up(end, blocks_end);
  }
  if (status.is_ok()) {
    status = co_await perform(*data_, request);
  }
  if (status.is_ok()) shared_.map_.add(blocks.begin, blocks.end);
  co_return status;
}

/// A part of one block.
Task<Status> CowLane::copy_up(std::uint64_t begin, std::uint64_t end) {
  BlockBuffers::Lease lease(buffers_);
  co_await lease.wait();
  const auto bytes = lease.bytes().first(end - begin);
  Status status = co_await below().read(begin, bytes);
  if (status.is_ok()) {
    status = co_await data_->write(begin, bytes, false);
  }
  co_return status;
}

// TRIM is advice, and taken for whole blocks: they become zeros without room in the overlay. Where
// its file system cannot do that at once, nothing changes.
Task<Status> CowLane::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  const std::uint64_t end = offset + length;
  const std::uint64_t first = (offset + block_bytes - 1) / block_bytes * block_bytes;
  const std::uint64_t last = end == shared_.about().size ? end : end / block_bytes * block_bytes;
  if (first >= last) co_return Status::ok();
  ZeroMode mode;
  mode.fua = fua;
  mode.fast_zero = true;
  const Status status = co_await change(BackendRequest::write_zeroes(first, last - first, mode));
  co_return status.error() == ENOTSUP ? Status::ok() : status;
}

// Everything is saved already, as is the rule once the blocks in use have all been changed: then
// only data is new, and flushes need not wait for each other.
Task<Status> CowLane::flush() {
  if (!shared_.is_kept()) co_return Status::ok();
  if (shared_.map_.is_saved()) {
    co_return co_await sync();
  }
  const std::uint64_t begun_before = shared_.saves_begun_;
  BlockLock::Range turn(shared_.saves_, loop_, 0, 1);
  co_await turn.wait();
  // One that began after this flush came covers it.
  if (shared_.saved_ > begun_before) co_return Status::ok();
  co_return co_await save();
}

// The order is what a crash needs: see cow_file.hpp.
Task<Status> CowLane::save() {
  const std::uint64_t number = ++shared_.saves_begun_;
  shared_.map_.begin_save();
  Status status = co_await sync();
  for (std::size_t page = 0; page < shared_.map_.pages() && status.is_ok(); ++page) {
    if (!shared_.map_.is_being_saved(page)) continue;
    status = co_await write_page(page);
  }
  if (status.is_ok()) {
    status = co_await sync();
  }
  shared_.map_.end_save(status.is_ok());
  if (status.is_ok()) shared_.saved_ = number;
  co_return status;
}

Task<Status> CowLane::sync() {
  const Status status = co_await data_->flush();
  if (!status.is_ok()) shared_.sync_error_ = status.error();
  co_return Status::from_errno(shared_.sync_error_);
}

Task<Status> CowLane::write_page(std::size_t page) {
  std::span<const std::byte> bytes = shared_.map_.page(page);
  std::uint64_t at = shared_.overlay_.map_at + page * BlockMap::page_bytes;
  while (!bytes.empty()) {
    const int result = co_await loop_.write(shared_.overlay_.file.get(), bytes, at);
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result <= 0) co_return Status::from_errno(result < 0 ? -result : EIO);
    at += static_cast<std::uint64_t>(result);
    bytes = bytes.subspan(static_cast<std::size_t>(result));
  }
  co_return Status::ok();
}

Task<Status> CowLane::extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  const std::uint64_t end = offset + length;
  list.used = 0;
  while (offset < end && list.used < list.descriptors.size()) {
    const bool changed = shared_.map_.has(offset / block_bytes);
    const std::uint64_t next = run_end(offset, end, changed);
    ExtentList part;
    part.descriptors = list.descriptors.subspan(list.used);
    BackendLane& source = changed ? *data_ : below();
    const Status status = co_await source.extents(offset, next - offset, part);
    if (!status.is_ok()) co_return status;
    ENSURE(part.used > 0);
    for (const auto& extent : part.descriptors.first(part.used)) offset += extent.length;
    list.used += part.used;
  }
  co_return Status::ok();
}

// The overlay is a local file: what is on its way there ends by itself.
void CowLane::give_up() noexcept {
  is_given_up_ = true;
  LayerLane::give_up();
}

// A lane that changed nothing needs no flush.
Task<Status> CowLane::close() {
  Status status;
  if (was_used_) {
    status = co_await flush();
  }
  const Status closed = co_await below().close();
  co_return status.is_ok() ? closed : status;
}

}  // namespace nbdring
