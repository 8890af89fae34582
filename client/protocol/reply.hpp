#pragma once
// Reply headers, encoded without allocation. A reply is one header and, after it, the payload that
// its encoder names: together they are sent at once. Structured replies are always one chunk with
// the DONE flag, so never in fragments.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/protocol/nbd.hpp"

namespace nbdring {

struct ReplyHeader {
  std::array<std::byte, 48> bytes;
  std::uint32_t size = 0;  // bytes in use

  std::span<const std::byte> used() const { return std::span(bytes).first(size); }
};

static_assert(sizeof(nbd::StructuredReplyHeader) + sizeof(nbd::OffsetHole) <=
              sizeof(ReplyHeader::bytes));

/// The id under which base:allocation is agreed on in the handshake and reported by BLOCK_STATUS.
inline constexpr std::uint32_t base_allocation_id = 1;

/// Any command; a READ without structured replies is followed by its data when error is 0.
ReplyHeader encode_simple_reply(std::uint64_t cookie, std::uint32_t nbd_error) noexcept;

/// A whole READ: `length` bytes of data follow.
ReplyHeader encode_data_chunk(std::uint64_t cookie, std::uint64_t offset,
                              std::uint32_t length) noexcept;

/// A whole READ of nothing but zeros: nothing follows.
ReplyHeader encode_hole_chunk(std::uint64_t cookie, std::uint64_t offset,
                              std::uint32_t length) noexcept;

/// BLOCK_STATUS: `extents` (at least one) nbd::Extent follow.
ReplyHeader encode_block_status_chunk(std::uint64_t cookie, std::uint32_t context_id,
                                      std::uint32_t extents) noexcept;

/// A failed READ or BLOCK_STATUS under structured replies: nothing follows.
ReplyHeader encode_error_chunk(std::uint64_t cookie, std::uint32_t nbd_error) noexcept;

/// Success without a payload, as a chunk: nothing follows.
ReplyHeader encode_none_chunk(std::uint64_t cookie) noexcept;

/// The protocol knows eight errors; every errno becomes one of them ("Error values"). 0 stays 0.
std::uint32_t nbd_error_from_errno(int error) noexcept;

}  // namespace nbdring
