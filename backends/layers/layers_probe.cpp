#include "backends/layers/layers_probe.hpp"

#include <algorithm>

namespace nbdring {
namespace {

constexpr std::size_t alignment = 4096;
// What is read along with a header: those of small members of an archive come from one read.
constexpr std::size_t read_ahead = 16 * 1024;
constexpr std::size_t buffer_bytes = LayerProbe::largest_read + 2 * nbd::largest_minimum_block;

}  // namespace

LayerProbe::LayerProbe(Backend& below, const LayerArgument& argument)
    : below_(below),
      argument_(argument),
      size_(below.about().size),
      lane_(below.open_lane(loop_)),
      memory_(buffer_bytes + alignment) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
  buffer_ = std::span(memory_).subspan((alignment - address % alignment) % alignment, buffer_bytes);
}

// Nothing was written, so there is nothing that closing could fail to keep.
LayerProbe::~LayerProbe() {
  Status status;
  Task<Status> closing = lane_->close();
  loop_.run(keep(loop_, closing, status));
}

Task<void> LayerProbe::keep(Loop&, Task<Status>& operation, Status& status) {
  status = co_await operation;
}

std::span<const std::byte> LayerProbe::read(std::uint64_t offset, std::size_t length) {
  ENSURE(length <= largest_read && length <= size_ && offset <= size_ - length);
  if (length == 0) return {};
  if (offset < begin_ || offset + length > end_) {
    const std::uint64_t block = below_.about().block_size.minimum;
    const std::uint64_t wanted = std::min(size_, offset + std::max(length, read_ahead));
    begin_ = offset - offset % block;
    end_ = (wanted + block - 1) / block * block;
    // What is behind the last whole block cannot be had (Export::size is a multiple, as a rule).
    if (end_ > size_) end_ = size_ - size_ % block;
    Status status = Status::from_errno(EIO);
    if (begin_ < end_) {
      Task<Status> reading = lane_->read(begin_, buffer_.first(end_ - begin_));
      loop_.run(keep(loop_, reading, status));
    }
    if (!status.is_ok() || offset + length > end_) {
      end_ = begin_;
      const int error = status.is_ok() ? EIO : status.error();
      argument_.fail(FailureKind::unreachable, "cannot read " + std::to_string(length) +
                                                   " bytes at " + std::to_string(offset) + ": " +
                                                   error_text(error));
    }
  }
  return buffer_.subspan(offset - begin_, length);
}

}  // namespace nbdring
