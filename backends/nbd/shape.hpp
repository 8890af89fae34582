#pragma once
// Fits requests to what a server takes (shape_rules.hpp): the six operations of a backend on one
// side, a Connection's on the other.
//
//   READ, WRITE beyond the server's maximum      pieces, eight at a time
//   TRIM, WRITE_ZEROES that it finds too long    pieces of its maximum, from then on
//   WRITE_ZEROES without its flag                WRITEs of zeros
//   TRIM, FLUSH without their flags              done: advice, and a server without a cache
//   FUA without its flag                         the request, then FLUSH
//   BLOCK_STATUS without base:allocation         data: always true
//   parts of blocks larger than 4096             shape_blocks.hpp
//
// An answer is lost if the answer of any piece is: whoever waits for it asks again, as a whole.
// Otherwise the first error counts, and no further pieces are sent.
//
// One loop's thread. Nothing allocates per request.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backends/nbd/connection.hpp"
#include "backends/nbd/shape_rules.hpp"
#include "client/engine/backend_request.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

class ShapeBlocks;

class Shape {
 public:
  /// The connection outlives it; its export has been presented().
  Shape(Loop& loop, Connection& connection);
  ~Shape();
  Shape(const Shape&) = delete;
  Shape& operator=(const Shape&) = delete;

  /// arrival: see BackendLane::read_pages(); null: into the buffer.
  Task<Answer> read(std::uint64_t offset, std::span<std::byte> buffer, Arrival* arrival = nullptr);
  Task<Answer> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua);
  Task<Answer> flush();
  Task<Answer> trim(std::uint64_t offset, std::uint64_t length, bool fua);
  Task<Answer> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode);
  Task<Answer> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list);

  FramePool& frames() { return loop_.frames(); }

 private:
  friend class ShapeBlocks;
  class Pieces;

  // Changes come without FUA where the server has none.
  Task<Answer> change(const BackendRequest& request);
  // Of whole blocks:
  Task<Answer> read_blocks(std::uint64_t offset, std::span<std::byte> buffer,
                           Arrival* arrival = nullptr);
  Task<Answer> change_blocks(const BackendRequest& request);
  Task<Answer> split(BackendRequest request, std::uint64_t piece);
  Task<void> carry(Pieces& pieces);
  Task<Answer> change_range(BackendRequest request);

  Task<Answer> then_flush(BackendRequest request);
  Task<Answer> find_extents(std::uint64_t offset, std::uint64_t length, ExtentList& list);
  Task<Answer> done(Status status);
  bool needs_flush(bool fua) const { return fua && !rules_.has_fua && rules_.has_flush; }

  Loop& loop_;
  Connection& connection_;
  ShapeRules rules_;
  std::unique_ptr<ShapeBlocks> blocks_;  // where the server's blocks are large
};

}  // namespace nbdring
