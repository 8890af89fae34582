#pragma once
// A lane of the layer readahead: the pieces that it fetched, and the reads that use them. See
// backends/layers/readahead.hpp.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/layers/readahead_stamps.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

class ReadAheadLane final : public LayerLane {
 public:
  ReadAheadLane(std::unique_ptr<BackendLane> below, ChangeStamps& stamps, std::uint64_t size,
                std::uint64_t bytes);

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override;
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override;
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override;
  Task<Status> close() override;

 private:
  /// What was fetched, or is being fetched, at once.
  struct Piece {
    enum class State : std::uint8_t { unused, fetching, ready };
    State state = State::unused;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t stamp = 0;  // when its fetch began
    std::span<std::byte> buffer;
    Event fetched;
  };

  void follow(std::uint64_t offset, std::uint64_t length);
  void fetch_ahead(std::uint64_t from);
  Piece* unused_piece(std::uint64_t from) noexcept;
  Piece* piece_at(std::uint64_t position) noexcept;
  bool is_good(const Piece& piece) const noexcept;
  Task<void> fetch(Piece& piece);

  ChangeStamps& stamps_;
  const std::uint64_t size_;
  std::vector<std::byte> memory_;
  std::array<Piece, 4> pieces_;
  Scope fetches_;
  std::uint64_t expected_ = 0;    // where the next read begins if reads follow each other
  unsigned reads_in_order_ = 0;   // up to now
  std::uint64_t fetched_to_ = 0;  // while they do
};

}  // namespace nbdring
