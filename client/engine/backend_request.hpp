#pragma once
// One call of a BackendLane as a value: for layers that keep requests, hand them to another thread
// or issue them a second time.

#include <cstddef>
#include <cstdint>
#include <span>

#include "client/engine/backend.hpp"

namespace nbdring {

struct BackendRequest {
  enum class Kind : std::uint8_t { read, write, flush, trim, write_zeroes, extents };

  Kind kind = Kind::flush;
  bool fua = false;  // write, trim
  ZeroMode mode;     // write_zeroes, its FUA included
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::span<std::byte> destination;   // read
  Arrival* arrival = nullptr;         // read, by one who can take pages as well
  std::span<const std::byte> source;  // write
  ExtentList* extents = nullptr;      // extents

  static BackendRequest read(std::uint64_t offset, std::span<std::byte> buffer) {
    BackendRequest request;
    request.kind = Kind::read;
    request.offset = offset;
    request.length = buffer.size();
    request.destination = buffer;
    return request;
  }
  static BackendRequest write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) {
    BackendRequest request;
    request.kind = Kind::write;
    request.offset = offset;
    request.length = buffer.size();
    request.source = buffer;
    request.fua = fua;
    return request;
  }
  static BackendRequest flush() { return BackendRequest(); }
  static BackendRequest trim(std::uint64_t offset, std::uint64_t length, bool fua) {
    BackendRequest request;
    request.kind = Kind::trim;
    request.offset = offset;
    request.length = length;
    request.fua = fua;
    return request;
  }
  static BackendRequest write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
    BackendRequest request;
    request.kind = Kind::write_zeroes;
    request.offset = offset;
    request.length = length;
    request.mode = mode;
    return request;
  }
  static BackendRequest extents_of(std::uint64_t offset, std::uint64_t length, ExtentList& list) {
    BackendRequest request;
    request.kind = Kind::extents;
    request.offset = offset;
    request.length = length;
    request.extents = &list;
    return request;
  }

  bool is_change() const {
    return kind == Kind::write || kind == Kind::trim || kind == Kind::write_zeroes;
  }
};

/// What has the six operations, a BackendLane or a connection's shape, is asked for one of them.
template <typename Operations>
auto perform(Operations& operations, const BackendRequest& request) {
  switch (request.kind) {
    case BackendRequest::Kind::read:
      return operations.read(request.offset, request.destination);
    case BackendRequest::Kind::write:
      return operations.write(request.offset, request.source, request.fua);
    case BackendRequest::Kind::trim:
      return operations.trim(request.offset, request.length, request.fua);
    case BackendRequest::Kind::write_zeroes:
      return operations.write_zeroes(request.offset, request.length, request.mode);
    case BackendRequest::Kind::extents:
      return operations.extents(request.offset, request.length, *request.extents);
    case BackendRequest::Kind::flush:
      break;
  }
  return operations.flush();
}

}  // namespace nbdring
