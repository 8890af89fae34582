#include "backends/file_lane.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

// A write into the page cache takes microseconds. One that took this long was throttled, and so
// will the next ones be.
constexpr milliseconds throttled_write{5};
constexpr milliseconds ring_after_throttling{1000};

// What zeros are written from where a file system can neither punch nor zero a range.
alignas(4096) constexpr std::array<std::byte, 64 * 1024> zeros{};

bool is_unsupported(Status status) {
  return status.error() == EOPNOTSUPP || status.error() == ENOSYS;
}

}  // namespace

std::uint64_t FileLane::position_of(std::uint64_t offset, std::uint64_t length) const {
  const std::uint64_t size = backend_.about_.size;
  ENSURE(length > 0 && length <= size && offset <= size - length);
  return backend_.spec_.offset + offset;
}

Task<Status> FileLane::read(std::uint64_t offset, std::span<std::byte> buffer) {
  const std::uint64_t position = position_of(offset, buffer.size());
  const std::size_t done = read_now(position, buffer);
  if (done == buffer.size()) co_return Status::ok();
  co_return co_await read_in_ring(position + done, buffer.subspan(done));
}

/// How much of the buffer could be filled without waiting. What goes wrong here goes wrong in the
/// ring again, and is reported from there.
std::size_t FileLane::read_now(std::uint64_t position, std::span<std::byte> buffer) noexcept {
  if (!backend_.reads_now_) return 0;
  iovec vector{buffer.data(), buffer.size()};
  const ssize_t result =
      ::preadv2(fd(), &vector, 1, static_cast<off_t>(position), backend_.nowait_flag_);
  return result > 0 ? static_cast<std::size_t>(result) : 0;
}

bool FileLane::has_at_hand(std::uint64_t offset, std::size_t length) noexcept {
  return backend_.cached_.holds(position_of(offset, length), length);
}

std::size_t FileLane::lend(std::uint64_t offset, std::size_t length, int pipe) noexcept {
  auto position = static_cast<off64_t>(position_of(offset, length));
  std::size_t done = 0;
  while (done < length) {
    const ssize_t count =
        ::splice(fd(), &position, pipe, nullptr, length - done, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Task<Status> FileLane::read_in_ring(std::uint64_t position, std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    const int result = co_await loop_.read(fd(), buffer, position);
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0) co_return Status::from_errno(-result);
    if (result == 0) co_return Status::from_errno(EIO);  // somebody cut the file short
    position += static_cast<std::uint64_t>(result);
    buffer = buffer.subspan(static_cast<std::size_t>(result));
  }
  co_return Status::ok();
}

Task<Status> FileLane::write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) {
  const std::uint64_t position = position_of(offset, buffer.size());
  const std::size_t done = fua ? 0 : write_now(position, buffer);
  if (done == buffer.size()) co_return Status::ok();
  const int rwf = fua ? RWF_DSYNC : 0;
  co_return co_await write_in_ring(position + done, buffer.subspan(done), rwf);
}

/// How much of the buffer went into the page cache; 0 where this is not the way.
std::size_t FileLane::write_now(std::uint64_t position,
                                std::span<const std::byte> buffer) noexcept {
  if (backend_.spec_.cache == FileSpec::Cache::none) return 0;
  const auto begin = Clock::now();
  if (begin < writes_in_ring_until_) return 0;
  const ssize_t result = ::pwrite(fd(), buffer.data(), buffer.size(), static_cast<off_t>(position));
  const auto end = Clock::now();
  if (end - begin > throttled_write) writes_in_ring_until_ = end + ring_after_throttling;
  return result > 0 ? static_cast<std::size_t>(result) : 0;
}

Task<Status> FileLane::write_in_ring(std::uint64_t position, std::span<const std::byte> buffer,
                                     int rwf) {
  while (!buffer.empty()) {
    const int result = co_await loop_.write(fd(), buffer, position, rwf);
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0) co_return Status::from_errno(-result);
    if (result == 0) co_return Status::from_errno(EIO);
    position += static_cast<std::uint64_t>(result);
    buffer = buffer.subspan(static_cast<std::size_t>(result));
  }
  co_return Status::ok();
}

Task<Status> FileLane::flush() {
  const int result = co_await loop_.fdatasync(fd());
  co_return Status::from_errno(-result);
}

Task<Status> FileLane::fallocate(int mode, std::uint64_t position, std::uint64_t length) {
  int result = -EINTR;
  while (result == -EINTR) {
    result = co_await loop_.fallocate(fd(), mode, position, length);
  }
  co_return Status::from_errno(-result);
}

// A block device punches and zeroes whole sectors only; to anything else it says EINVAL, and the
// next range may be different.
bool FileLane::is_part_of_sector(Status status) const {
  return backend_.is_block_device_ && status.error() == EINVAL;
}

// TRIM is advice: where holes cannot be punched it succeeds and changes nothing.
Task<Status> FileLane::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  const std::uint64_t position = position_of(offset, length);
  Status status;
  if (backend_.can_punch_) {
    status = co_await fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, position, length);
    if (is_unsupported(status)) {
      backend_.can_punch_ = false;
      status = Status::ok();
    }
    if (is_part_of_sector(status)) status = Status::ok();
  }
  if (status.is_ok() && fua) {
    status = co_await flush();
  }
  co_return status;
}

Task<Status> FileLane::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
  const std::uint64_t position = position_of(offset, length);
  Status status = Status::from_errno(EOPNOTSUPP);
  if (!mode.no_hole && backend_.can_punch_) {
    status = co_await fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, position, length);
    if (is_unsupported(status)) backend_.can_punch_ = false;
    if (is_part_of_sector(status)) status = Status::from_errno(EOPNOTSUPP);
  }
  if (is_unsupported(status) && backend_.can_zero_) {
    status = co_await fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, position, length);
    if (is_unsupported(status)) backend_.can_zero_ = false;
    if (is_part_of_sector(status)) status = Status::from_errno(EOPNOTSUPP);
  }
  if (is_unsupported(status) && mode.fast_zero) co_return Status::from_errno(ENOTSUP);
  if (is_unsupported(status)) {
    status = co_await write_zeros(position, length);
  }
  if (status.is_ok() && mode.fua) {
    status = co_await flush();
  }
  co_return status;
}

Task<Status> FileLane::write_zeros(std::uint64_t position, std::uint64_t length) {
  while (length > 0) {
    if (is_given_up_) co_return Status::from_errno(ECANCELED);
    const std::size_t count = std::min<std::uint64_t>(length, zeros.size());
    const Status status = co_await write_in_ring(position, std::span(zeros).first(count), 0);
    if (!status.is_ok()) co_return status;
    position += count;
    length -= count;
  }
  co_return Status::ok();
}

// Which parts are data, as the file system tells (lseek(2), SEEK_DATA). A block device tells
// nothing: all is data.
Task<Status> FileLane::extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  std::uint64_t position = position_of(offset, length);
  const std::uint64_t end = position + length;
  list.used = 0;
  while (position < end && list.used < list.descriptors.size()) {
    const off_t data = ::lseek(fd(), static_cast<off_t>(position), SEEK_DATA);
    const bool no_data = data < 0 && errno == ENXIO;  // a hole up to the end of the file
    const bool is_hole = no_data || data > static_cast<off_t>(position);
    off_t until = no_data ? static_cast<off_t>(end) : data;
    if (!is_hole) until = ::lseek(fd(), static_cast<off_t>(position), SEEK_HOLE);
    const std::uint64_t next = until > static_cast<off_t>(position)
                                   ? std::min(static_cast<std::uint64_t>(until), end)
                                   : end;
    list.descriptors[list.used++] = nbd::Extent{static_cast<std::uint32_t>(next - position),
                                                is_hole ? nbd::extent_hole | nbd::extent_zero : 0};
    position = next;
  }
  co_return Status::ok();
}

}  // namespace nbdring
