#pragma once
// Request headers as a client writes them, in the short form or with extended headers.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/protocol/nbd.hpp"
#include "client/protocol/request.hpp"

namespace nbdring {

struct EncodedRequest {
  std::array<std::byte, sizeof(nbd::ExtendedRequestHeader)> bytes;
  std::uint32_t size = 0;  // bytes in use

  std::span<const std::byte> used() const { return std::span(bytes).first(size); }
};

/// A WRITE's payload follows. The short form has 32 bits for a length.
EncodedRequest encode_request(Command command, std::uint16_t flags, std::uint64_t cookie,
                              std::uint64_t offset, std::uint64_t length, bool extended) noexcept;

}  // namespace nbdring
