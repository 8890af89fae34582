#include "backends/nbd/shape.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "backends/nbd/shape_blocks.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

// Pieces of one request that are on their way at once: enough to keep a server busy, few enough
// that their coroutines fit the loop's frames.
constexpr std::uint64_t pieces_at_once = 8;

// What zeros are written from where the server cannot zero a range: two of the largest blocks.
alignas(4096) constexpr std::array<std::byte, 2 * nbd::largest_minimum_block> zeros{};

bool may_be_too_long(const Answer& answer) {
  const int error = answer.is_lost ? 0 : answer.status.error();
  return error == EINVAL || error == EOVERFLOW;
}

}  // namespace

/// A request that is carried out in pieces, by several tasks.
class Shape::Pieces {
 public:
  Pieces(const BackendRequest& request, std::uint64_t piece) : request_(request), piece_(piece) {}

  bool empty() const { return is_over_ || next_ == request_.length; }
  std::uint64_t left() const { return (request_.length - next_ + piece_ - 1) / piece_; }
  /// The first answer that is no success ends it.
  void note(const Answer& answer) {
    if (!answer.is_lost && answer.status.is_ok()) return;
    if (answer.is_lost || answer_.status.is_ok()) answer_ = answer;
    is_over_ = true;
  }
  const Answer& answer() const { return answer_; }

  BackendRequest take(bool zeros_as_writes) {
    BackendRequest part = request_;
    const std::uint64_t begin = next_;
    part.offset += begin;
    part.length = std::min(piece_, request_.length - begin);
    next_ += part.length;
    if (!part.destination.empty()) part.destination = part.destination.subspan(begin, part.length);
    if (!part.source.empty()) part.source = part.source.subspan(begin, part.length);
    if (part.kind == BackendRequest::Kind::write_zeroes && zeros_as_writes) {
      part = BackendRequest::write(part.offset, std::span(zeros).first(part.length), part.mode.fua);
    }
    return part;
  }

 private:
  const BackendRequest request_;
  const std::uint64_t piece_;
  std::uint64_t next_ = 0;
  bool is_over_ = false;
  Answer answer_ = Answer::of(Status::ok());
};

Shape::Shape(Loop& loop, Connection& connection)
    : loop_(loop), connection_(connection), rules_(connection.about(), connection.transmission()) {
  if (rules_.has_large_blocks()) blocks_ = std::make_unique<ShapeBlocks>(*this);
}

Shape::~Shape() = default;

Task<Answer> Shape::read(std::uint64_t offset, std::span<std::byte> buffer, Arrival* arrival) {
  if (!rules_.is_aligned(offset, buffer.size())) return blocks_->read(offset, buffer);
  return read_blocks(offset, buffer, arrival);
}

// Pieces have one buffer to come together in.
Task<Answer> Shape::read_blocks(std::uint64_t offset, std::span<std::byte> buffer,
                                Arrival* arrival) {
  if (buffer.size() <= rules_.payload) return connection_.read(offset, buffer, arrival);
  return split(BackendRequest::read(offset, buffer), rules_.payload);
}

Task<Answer> Shape::write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) {
  const auto request = BackendRequest::write(offset, buffer, fua && rules_.has_fua);
  return needs_flush(fua) ? then_flush(request) : change(request);
}

Task<Answer> Shape::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  if (!rules_.has_trim) return done(Status::ok());
  const auto request = BackendRequest::trim(offset, length, fua && rules_.has_fua);
  return needs_flush(fua) ? then_flush(request) : change(request);
}

Task<Answer> Shape::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
  if (mode.fast_zero && !rules_.has_fast_zero) return done(Status::from_errno(ENOTSUP));
  const bool fua = mode.fua;
  mode.fua = fua && rules_.has_fua;
  const auto request = BackendRequest::write_zeroes(offset, length, mode);
  return needs_flush(fua) ? then_flush(request) : change(request);
}

Task<Answer> Shape::flush() { return rules_.has_flush ? connection_.flush() : done(Status::ok()); }

Task<Answer> Shape::extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  return find_extents(offset, length, list);
}

Task<Answer> Shape::done(Status status) { co_return Answer::of(status); }

Task<Answer> Shape::then_flush(BackendRequest request) {
  const Answer answer = co_await change(request);
  if (answer.is_lost || !answer.status.is_ok()) co_return answer;
  co_return co_await connection_.flush();
}

Task<Answer> Shape::change(const BackendRequest& request) {
  return blocks_ != nullptr ? blocks_->change(request) : change_blocks(request);
}

Task<Answer> Shape::change_blocks(const BackendRequest& request) {
  if (request.kind == BackendRequest::Kind::write) {
    if (request.length > rules_.payload) return split(request, rules_.payload);
    return connection_.write(request.offset, request.source, request.fua);
  }
  if (request.kind == BackendRequest::Kind::write_zeroes && !rules_.has_write_zeroes) {
    return split(request, std::min<std::uint64_t>(rules_.payload, zeros.size()));
  }
  return change_range(request);
}

// A server may find a range too long that is longer than its maximum payload, and only says so
// then.
Task<Answer> Shape::change_range(BackendRequest request) {
  const std::uint64_t tried = std::min(request.length, rules_.range);
  Task<Answer> attempt =
      request.length == tried ? perform(connection_, request) : split(request, tried);
  const Answer answer = co_await attempt;
  if (tried <= rules_.payload || !may_be_too_long(answer)) co_return answer;
  const Answer again = co_await split(request, rules_.payload);
  if (!again.is_lost && again.status.is_ok()) rules_.range = rules_.payload;
  co_return again;
}

Task<Answer> Shape::split(BackendRequest request, std::uint64_t piece) {
  Pieces pieces(request, piece);
  Scope scope(frames());
  const std::uint64_t tasks = std::min(pieces.left(), pieces_at_once);
  for (std::uint64_t i = 0; i < tasks; ++i) scope.spawn(carry(pieces));
  co_await scope.join();
  co_return pieces.answer();
}

Task<void> Shape::carry(Pieces& pieces) {
  while (!pieces.empty()) {
    const BackendRequest part = pieces.take(!rules_.has_write_zeroes);
    const Answer answer = co_await perform(connection_, part);
    pieces.note(answer);
  }
}

Task<Answer> Shape::find_extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
  const std::uint64_t begin = rules_.down(offset);
  const std::uint64_t asked = std::min(rules_.up(offset + length) - begin, rules_.range);
  Answer answer = Answer::of(Status::ok());
  if (rules_.has_status) {
    answer = co_await connection_.extents(begin, asked, list);
    if (answer.is_lost || !answer.status.is_ok()) co_return answer;
    const auto found = list.descriptors.first(list.used);
    list.used = align_extents(found, static_cast<std::uint32_t>(rules_.minimum));
  } else {
    list.descriptors[0] = {static_cast<std::uint32_t>(std::min<std::uint64_t>(asked, UINT32_MAX)),
                           0};
    list.used = 1;
  }
  // What lies before and behind the question, in its first and last block.
  std::uint64_t skipped = offset - begin;
  std::uint64_t left = length;
  for (nbd::Extent& extent : list.descriptors.first(list.used)) {
    const std::uint64_t told = std::min(extent.length - skipped, left);
    extent.length = static_cast<std::uint32_t>(told);
    skipped = 0;
    left -= told;
  }
  while (list.used > 1 && list.descriptors[list.used - 1].length == 0) --list.used;
  co_return answer;
}

}  // namespace nbdring
