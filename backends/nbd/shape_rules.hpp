#pragma once
// What a server takes, and what we offer of it to those above: pure decisions.

#include <cstddef>
#include <cstdint>
#include <span>

#include "client/protocol/export.hpp"
#include "client/protocol/request.hpp"

namespace nbdring {

/// The largest minimum block size that the layers above, and Linux, can be asked to keep.
inline constexpr std::uint32_t presented_minimum_max = 4096;

/// The export as the layers above see it: every command and flag that can be done by other means,
/// blocks of at most 4096 bytes, payloads of up to 32 MiB, and a size that the server's blocks can
/// reach. Throws Failure (unreachable) for an offer that breaks the protocol's rules or cannot be
/// used.
Export presented(const Export& remote);

/// The server's blocks are larger than what we present: parts of them are read, changed and
/// written. That is only right while one connection makes all changes.
bool rewrites_blocks(const Export& remote);

struct ShapeRules {
  ShapeRules(const Export& remote, const TransmissionOptions& transmission);

  std::uint64_t minimum = 1;  // bytes: offsets and lengths are multiples of it
  std::uint64_t payload = 0;  // bytes of one READ or WRITE, a multiple of the minimum
  std::uint64_t range = 0;    // bytes of one TRIM, WRITE_ZEROES or BLOCK_STATUS, likewise
  bool has_flush = false;
  bool has_fua = false;
  bool has_trim = false;
  bool has_write_zeroes = false;
  bool has_fast_zero = false;
  bool has_status = false;  // base:allocation was agreed on

  /// Requests may begin and end within the server's blocks.
  bool has_large_blocks() const { return minimum > presented_minimum_max; }
  std::uint64_t down(std::uint64_t offset) const { return offset - offset % minimum; }
  std::uint64_t up(std::uint64_t offset) const { return down(offset + minimum - 1); }
  bool is_aligned(std::uint64_t offset, std::uint64_t length) const {
    return offset % minimum == 0 && length % minimum == 0;
  }
};

/// Moves the boundaries of extents to multiples of `minimum` from the first one's begin, so that no
/// byte is called a hole or zero that was not. Returns how many extents are left, at least one; a
/// part of a block at the end is left out.
std::size_t align_extents(std::span<nbd::Extent> extents, std::uint32_t minimum) noexcept;

}  // namespace nbdring
