#include "backends/nbd/shape_blocks.hpp"

#include <algorithm>
#include <coroutine>
#include <cstring>

namespace nbdring {

/// Where a task waits for a block's buffer, in the order of coming.
class ShapeBlocks::FreeBuffer {
 public:
  explicit FreeBuffer(ShapeBlocks& blocks) : blocks_(blocks) {}
  bool await_ready() noexcept {
    if (blocks_.free_.empty()) return false;
    buffer_ = blocks_.free_.back();
    blocks_.free_.pop_back();
    return true;
  }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    (blocks_.first_waiting_ == nullptr ? blocks_.first_waiting_ : blocks_.last_waiting_->next_) =
        this;
    blocks_.last_waiting_ = this;
  }
  std::byte* await_resume() const noexcept { return buffer_; }

 private:
  friend class ShapeBlocks;
  ShapeBlocks& blocks_;
  std::byte* buffer_ = nullptr;
  std::coroutine_handle<> waiting_;
  FreeBuffer* next_ = nullptr;
};

ShapeBlocks::ShapeBlocks(Shape& shape)
    : shape_(shape), block_(shape.rules_.minimum), memory_(buffers_max * block_) {
  free_.reserve(buffers_max);
  for (std::size_t i = 0; i < buffers_max; ++i) free_.push_back(memory_.data() + i * block_);
}

ShapeBlocks::~ShapeBlocks() { ENSURE(free_.size() == buffers_max); }

void ShapeBlocks::give_back(std::byte* buffer) noexcept {
  FreeBuffer* next = first_waiting_;
  if (next == nullptr) {
    free_.push_back(buffer);
    return;
  }
  first_waiting_ = next->next_;
  next->buffer_ = buffer;
  next->waiting_.resume();
}

ShapeBlocks::Parts ShapeBlocks::parts_of(std::uint64_t offset, std::uint64_t length) const {
  const std::uint64_t end = offset + length;
  const std::uint64_t first = shape_.rules_.up(offset);
  const std::uint64_t last = shape_.rules_.down(end);
  if (first > last) return {offset, end, end, end};
  return {offset, first, last, end};
}

Task<Answer> ShapeBlocks::read(std::uint64_t offset, std::span<std::byte> buffer) {
  const Parts parts = parts_of(offset, buffer.size());
  Answer answer = Answer::of(Status::ok());
  if (parts.begin < parts.first) {
    answer = co_await read_part(offset, buffer.first(parts.first - offset));
    if (answer.is_lost || !answer.status.is_ok()) co_return answer;
  }
  if (parts.first < parts.last) {
    const auto whole = buffer.subspan(parts.first - offset, parts.last - parts.first);
    answer = co_await shape_.read_blocks(parts.first, whole);
    if (answer.is_lost || !answer.status.is_ok()) co_return answer;
  }
  if (parts.last < parts.end) {
    answer = co_await read_part(parts.last, buffer.subspan(parts.last - offset));
  }
  co_return answer;
}

Task<Answer> ShapeBlocks::read_part(std::uint64_t offset, std::span<std::byte> part) {
  const std::uint64_t begin = shape_.rules_.down(offset);
  std::byte* buffer = co_await FreeBuffer(*this);
  const Answer answer = co_await shape_.connection_.read(begin, std::span(buffer, block_));
  if (!answer.is_lost && answer.status.is_ok()) {
    std::memcpy(part.data(), buffer + (offset - begin), part.size());
  }
  give_back(buffer);
  co_return answer;
}

Task<Answer> ShapeBlocks::change(BackendRequest request) {
  const std::uint64_t begin = shape_.rules_.down(request.offset);
  const std::uint64_t end = shape_.rules_.up(request.offset + request.length);
  RangeLock::Range range(lock_, begin, end);
  co_await range.wait();
  co_return co_await change_locked(request);
}

Task<Answer> ShapeBlocks::change_locked(BackendRequest request) {
  const Parts parts = parts_of(request.offset, request.length);
  const bool is_trim = request.kind == BackendRequest::Kind::trim;
  const bool is_in_parts = parts.begin < parts.first || parts.last < parts.end;
  // Reading and writing is what FAST_ZERO asks not to do.
  if (is_in_parts && request.mode.fast_zero) co_return Answer::of(Status::from_errno(ENOTSUP));
  Answer answer = Answer::of(Status::ok());
  if (parts.begin < parts.first && !is_trim) {
    answer = co_await change_part(request, parts.begin, parts.first);
    if (answer.is_lost || !answer.status.is_ok()) co_return answer;
  }
  if (parts.first < parts.last) {
    BackendRequest whole = request;
    whole.offset = parts.first;
    whole.length = parts.last - parts.first;
    if (!request.source.empty()) {
      whole.source = request.source.subspan(parts.first - request.offset, whole.length);
    }
    answer = co_await shape_.change_blocks(whole);
    if (answer.is_lost || !answer.status.is_ok()) co_return answer;
  }
  if (parts.last < parts.end && !is_trim) {
    answer = co_await change_part(request, parts.last, parts.end);
  }
  co_return answer;
}

// A WRITE, or a WRITE_ZEROES, of a part of one block.
Task<Answer> ShapeBlocks::change_part(const BackendRequest& request, std::uint64_t begin,
                                      std::uint64_t end) {
  const std::uint64_t block = shape_.rules_.down(begin);
  const bool fua = request.fua || request.mode.fua;
  std::byte* buffer = co_await FreeBuffer(*this);
  Answer answer = co_await shape_.connection_.read(block, std::span(buffer, block_));
  if (!answer.is_lost && answer.status.is_ok()) {
    std::byte* part = buffer + (begin - block);
    if (request.kind == BackendRequest::Kind::write) {
      std::memcpy(part, request.source.data() + (begin - request.offset), end - begin);
    } else {
      std::memset(part, 0, end - begin);
    }
    answer = co_await shape_.connection_.write(block, std::span(buffer, block_), fua);
  }
  give_back(buffer);
  co_return answer;
}

}  // namespace nbdring
