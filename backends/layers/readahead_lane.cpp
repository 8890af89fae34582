#include "backends/layers/readahead_lane.hpp"

#include <algorithm>
#include <cstring>

namespace nbdring {
namespace {

// The third read in a row begins it: two meet by chance.
constexpr unsigned reads_that_tell = 3;

}  // namespace

ReadAheadLane::ReadAheadLane(std::unique_ptr<BackendLane> under, ChangeStamps& stamps,
                             std::uint64_t size, std::uint64_t bytes)
    : LayerLane(std::move(under)),
      stamps_(stamps),
      size_(size),
      memory_(bytes),
      fetches_(frames()) {
  const std::size_t each = memory_.size() / pieces_.size();
  std::span<std::byte> left(memory_);
  for (Piece& piece : pieces_) {
    piece.buffer = left.first(each);
    left = left.subspan(each);
  }
}

Task<Status> ReadAheadLane::read(std::uint64_t offset, std::span<std::byte> buffer) {
  follow(offset, buffer.size());
  while (!buffer.empty()) {
    Piece* const piece = piece_at(offset);
    if (piece != nullptr && piece->state == Piece::State::fetching) {
      co_await piece->fetched.wait();
      continue;  // it may have failed, or be another one by now
    }
    if (piece == nullptr) {
      co_return co_await below().read(offset, buffer);
    }
    const std::uint64_t from = offset - piece->offset;
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), piece->length - from);
    std::memcpy(buffer.data(), piece->buffer.data() + from, count);
    offset += count;
    buffer = buffer.subspan(count);
  }
  co_return Status::ok();
}

// A read within what is being fetched comes from a client that has several under way, in any order:
// it breaks no row.
void ReadAheadLane::follow(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  if (offset == expected_) {
    ++reads_in_order_;
  } else if (reads_in_order_ < reads_that_tell || offset > fetched_to_ ||
             offset + memory_.size() < expected_) {
    reads_in_order_ = 1;
    fetched_to_ = 0;
  }
  if (reads_in_order_ == 1 || end > expected_) expected_ = end;
  if (reads_in_order_ >= reads_that_tell) fetch_ahead(offset);
}

// from: what the read that brought us here needs stays where it is.
void ReadAheadLane::fetch_ahead(std::uint64_t from) {
  fetched_to_ = std::max(fetched_to_, expected_);
  while (fetched_to_ < size_ && fetched_to_ < expected_ + memory_.size()) {
    Piece* const piece = unused_piece(from);
    if (piece == nullptr) return;
    piece->state = Piece::State::fetching;
    piece->offset = fetched_to_;
    piece->length = std::min<std::uint64_t>(piece->buffer.size(), size_ - fetched_to_);
    piece->stamp = stamps_.sum(piece->offset, piece->length);
    piece->fetched.lower();
    fetched_to_ += piece->length;
    fetches_.spawn(fetch(*piece));
  }
}

/// One that holds nothing from here on that can be used.
ReadAheadLane::Piece* ReadAheadLane::unused_piece(std::uint64_t from) noexcept {
  for (Piece& piece : pieces_) {
    if (piece.state == Piece::State::fetching) continue;
    const bool is_ahead = piece.offset + piece.length > from && piece.offset < fetched_to_;
    if (piece.state == Piece::State::unused || !is_ahead || !is_good(piece)) return &piece;
  }
  return nullptr;
}

ReadAheadLane::Piece* ReadAheadLane::piece_at(std::uint64_t position) noexcept {
  for (Piece& piece : pieces_) {
    if (piece.state == Piece::State::unused || position < piece.offset) continue;
    if (position - piece.offset < piece.length && is_good(piece)) return &piece;
  }
  return nullptr;
}

bool ReadAheadLane::is_good(const Piece& piece) const noexcept {
  return stamps_.sum(piece.offset, piece.length) == piece.stamp;
}

Task<void> ReadAheadLane::fetch(Piece& piece) {
  const auto buffer = piece.buffer.first(piece.length);
  const Status status = co_await below().read(piece.offset, buffer);
  piece.state = status.is_ok() ? Piece::State::ready : Piece::State::unused;
  piece.fetched.raise();
}

Task<Status> ReadAheadLane::write(std::uint64_t offset, std::span<const std::byte> buffer,
                                  bool fua) {
  const Status status = co_await below().write(offset, buffer, fua);
  stamps_.changed(offset, buffer.size());
  co_return status;
}

Task<Status> ReadAheadLane::trim(std::uint64_t offset, std::uint64_t length, bool fua) {
  const Status status = co_await below().trim(offset, length, fua);
  stamps_.changed(offset, length);
  co_return status;
}

Task<Status> ReadAheadLane::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                         ZeroMode mode) {
  const Status status = co_await below().write_zeroes(offset, length, mode);
  stamps_.changed(offset, length);
  co_return status;
}

Task<Status> ReadAheadLane::close() {
  co_await fetches_.join();
  co_return co_await below().close();
}

}  // namespace nbdring
