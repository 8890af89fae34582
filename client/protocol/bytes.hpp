#pragma once
// Big-endian integers and structs in byte buffers.
//
// A wire struct is made of these types only: they have no alignment, so a struct of them has no
// padding, can be copied from any place in a buffer, and its size is the sum of its fields. Nobody
// ever sees a value in the wrong order, because there is no way to read one but through the
// conversion.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {

static_assert(std::endian::native == std::endian::big ||
              std::endian::native == std::endian::little);

template <typename T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr BigEndian(T value) : bytes_(std::bit_cast<Bytes>(swapped(value))) {}
  constexpr operator T() const { return swapped(std::bit_cast<T>(bytes_)); }

 private:
  using Bytes = std::array<std::byte, sizeof(T)>;

  static constexpr T swapped(T value) {
    if constexpr (std::endian::native == std::endian::big) return value;
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  }

  Bytes bytes_;
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Be64 = BigEndian<std::uint64_t>;

/// Eight bytes that are handed back as they came. The order in memory is the order on the wire.
class Opaque64 {
 public:
  constexpr Opaque64() = default;
  constexpr Opaque64(std::uint64_t raw) : bytes_(std::bit_cast<Bytes>(raw)) {}
  constexpr operator std::uint64_t() const { return std::bit_cast<std::uint64_t>(bytes_); }

 private:
  using Bytes = std::array<std::byte, sizeof(std::uint64_t)>;
  Bytes bytes_;
};

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1 && std::is_trivial_v<Be16>);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1 && std::is_trivial_v<Be32>);
static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1 && std::is_trivial_v<Be64>);
static_assert(sizeof(Opaque64) == 8 && alignof(Opaque64) == 1 && std::is_trivial_v<Opaque64>);

/// What may be copied to and from the wire: no pointers, no padding.
template <typename T>
concept WireStruct = std::is_trivially_copyable_v<T> && alignof(T) == 1;

template <WireStruct T>
T read_struct(std::span<const std::byte> bytes) {
  ENSURE(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <WireStruct T>
void append_struct(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

inline void append_text(std::vector<std::byte>& bytes, std::string_view text) {
  const auto raw = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

}  // namespace nbdring
