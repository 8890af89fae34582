#pragma once
// The receiving side of a lane: takes as much from the stream as is there, hands out request
// headers, and fills payload buffers with no copy but of what had come along with the header.
//
// One recvmsg has two buffers: the rest of the payload that is being received, and this reader's
// own. While a large payload is on its way the reader's own is cut to one header, so that a
// sequence of large WRITEs is never copied.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/protocol/nbd.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class RequestReader {
 public:
  explicit RequestReader(Stream& stream) : stream_(stream) {}

  /// Bytes that were received and not taken yet.
  std::size_t available() const { return end_ - begin_; }
  bool has_header() const { return available() >= sizeof(nbd::RequestHeader); }
  nbd::RequestHeader take_header() noexcept;

  /// Copies what is there into the destination; returns how many bytes.
  std::size_t take(std::span<std::byte> destination) noexcept;
  /// Drops up to `count` bytes; returns how many.
  std::size_t drop(std::size_t count) noexcept;

  struct Received {
    ssize_t result;             // as Stream::receive: bytes, 0 at the end, or -errno
    std::size_t payload_bytes;  // how many of them went into the payload's rest
    bool took_all;              // that was there: less came than there was room for
  };
  static constexpr std::size_t any = SIZE_MAX;
  /// Receives into the payload's rest (may be empty) and then into the reader's own buffer, there
  /// at most `ahead_max` bytes. Does not wait.
  Received receive(std::span<std::byte> payload_rest, std::size_t ahead_max = any) noexcept;

 private:
  static constexpr std::size_t capacity =
      32 * 1024;  // bytes: a thousand headers, or seven 4 KiB WRITEs
  static constexpr std::size_t large_payload =
      32 * 1024;  // bytes: from here on not worth reading ahead behind it

  Stream& stream_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::array<std::byte, capacity> bytes_;
};

}  // namespace nbdring
