#include "backends/layers/blocksize_lane.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nbdring {
namespace {

constexpr std::size_t buffers = 8;
constexpr std::uint64_t buffer_bytes = nbd::largest_minimum_block;
constexpr std::uint64_t alignment = 4096;  // what O_DIRECT wants of memory, at most
constexpr std::uint64_t extents_max = UINT32_MAX - (nbd::largest_minimum_block - 1);

std::span<std::byte> aligned(std::span<std::byte> bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  return bytes.subspan((alignment - address % alignment) % alignment, buffer_bytes);
}

}  // namespace

BlocksizeLane::BlocksizeLane(std::unique_ptr<BackendLane> under, Loop& loop, std::uint64_t block,
                             BlockLock& lock)
    : LayerLane(std::move(under)),
      loop_(loop),
      block_(block),
      lock_(lock),
      buffers_(buffers, buffer_bytes + alignment) {}

// What is seen of a block that is being changed is what was there, or what is written: no lock.
Task<Status> BlocksizeLane::read(std::uint64_t offset, std::span<std::byte> buffer) {
  if (is_whole(offset, buffer.size())) return below().read(offset, buffer);
  return read_parts(offset, buffer);
}

Task<Status> BlocksizeLane::read_parts(std::uint64_t offset, std::span<std::byte> buffer) {
  BlockBuffers::Lease lease(buffers_);
  co_await lease.wait();
  const auto blocks = aligned(lease.bytes());
  while (!buffer.empty()) {
    const std::uint64_t first = down(offset);
    const std::uint64_t last = std::min(up(offset + buffer.size()), first + buffer_bytes);
    const auto whole = blocks.first(last - first);
    const Status status = co_await below().read(first, whole);
    if (!status.is_ok()) co_return status;
    const std::uint64_t part = std::min<std::uint64_t>(buffer.size(), last - offset);
    std::memcpy(buffer.data(), blocks.data() + (offset - first), part);
    offset += part;
    buffer = buffer.subspan(part);
  }
  co_return Status::ok();
}

Task<Status> BlocksizeLane::write(std::uint64_t offset, std::span<const std::byte> buffer,
                                  bool fua) {
  return change(BackendRequest::write(offset, buffer, fua));
}

Task<Status> BlocksizeLane::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  return change(BackendRequest::trim(offset, length, fua));
}

Task<Status> BlocksizeLane::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                         ZeroMode mode) {
  return change(BackendRequest::write_zeroes(offset, length, mode));
}

// Whole blocks as well: a block that is read and written back must not change in between.
Task<Status> BlocksizeLane::change(BackendRequest request) {
  const std::uint64_t end = request.offset + request.length;
  BlockLock::Range range(lock_, loop_, down(request.offset) / block_, up(end) / block_);
  co_await range.wait();
  if (is_given_up_) co_return Status::from_errno(ECANCELED);
  if (is_whole(request.offset, request.length)) {
    co_return co_await perform(below(), request);
  }
  co_return co_await change_parts(request);
}

Task<Status> BlocksizeLane::change_parts(const BackendRequest& request) {
  const std::uint64_t begin = request.offset;
  const std::uint64_t end = request.offset + request.length;
  if (request.kind == BackendRequest::Kind::write) {
    co_return co_await rewrite(request, begin, end);
  }
  // Reading and writing is what FAST_ZERO asks not to do.
  if (request.mode.fast_zero) co_return Status::from_errno(ENOTSUP);
  const bool is_trim = request.kind == BackendRequest::Kind::trim;
  const std::uint64_t first = std::min(up(begin), end);
  const std::uint64_t last = std::max(down(end), first);
  Status status;
  if (begin < first && !is_trim) {
    status = co_await rewrite(request, begin, first);
    if (!status.is_ok()) co_return status;
  }
  if (first < last) {
    BackendRequest whole = request;
    whole.offset = first;
    whole.length = last - first;
    status = co_await perform(below(), whole);
    if (!status.is_ok()) co_return status;
  }
  if (last < end && !is_trim) {
    status = co_await rewrite(request, last, end);
  }
  co_return status;
}

// The request's bytes from begin to end, or zeros, by writing whole blocks.
Task<Status> BlocksizeLane::rewrite(const BackendRequest& request, std::uint64_t begin,
                                    std::uint64_t end) {
  BlockBuffers::Lease lease(buffers_);
  co_await lease.wait();
  const bool fua = request.fua || request.mode.fua;
  while (begin < end) {
    const std::uint64_t first = down(begin);
    const std::uint64_t last = std::min(up(end), first + buffer_bytes);
    const std::uint64_t stop = std::min(end, last);
    const auto blocks = aligned(lease.bytes()).first(last - first);
    Status status = co_await read_ends(blocks, first, begin, stop);
    if (!status.is_ok()) co_return status;
    std::byte* const part = blocks.data() + (begin - first);
    if (request.source.empty()) {
      std::memset(part, 0, stop - begin);
    } else {
      std::memcpy(part, request.source.data() + (begin - request.offset), stop - begin);
    }
    status = co_await below().write(first, blocks, fua);
    if (!status.is_ok()) co_return status;
    begin = stop;
  }
  co_return Status::ok();
}

/// Those blocks at the ends of the buffer, which begins at `first`, that begin..end changes in
/// part.
Task<Status> BlocksizeLane::read_ends(std::span<std::byte> buffer, std::uint64_t first,
                                      std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t last = first + buffer.size() - block_;
  Status status;
  if (begin > first) {
    const auto block = buffer.first(block_);
    status = co_await below().read(first, block);
    if (!status.is_ok()) co_return status;
  }
  const bool has_read = begin > first && last == first;
  if (end < last + block_ && !has_read) {
    const auto block = buffer.last(block_);
    status = co_await below().read(last, block);
  }
  co_return status;
}

Task<Status> BlocksizeLane::extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  const std::uint64_t begin = down(offset);
  const std::uint64_t asked = std::min(up(offset + length) - begin, extents_max);
  const Status status = co_await below().extents(begin, asked, list);
  if (!status.is_ok()) co_return status;
  // What lies before and behind the question, in its first and last block.
  std::uint64_t skipped = offset - begin;
  std::uint64_t left = length;
  std::size_t used = 0;
  for (nbd::Extent extent : list.descriptors.first(list.used)) {
    const std::uint64_t before = std::min<std::uint64_t>(skipped, extent.length);
    const std::uint64_t told = std::min<std::uint64_t>(extent.length - before, left);
    skipped -= before;
    left -= told;
    if (told == 0) continue;
    extent.length = static_cast<std::uint32_t>(told);
    list.descriptors[used++] = extent;
  }
  list.used = used;
  co_return status;
}

}  // namespace nbdring
