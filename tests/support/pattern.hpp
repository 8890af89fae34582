#pragma once
// Data that tells where it belongs: each byte follows from the number of the write that stored it
// and from its place in the export. So a read that returns another write's bytes, or the right
// bytes from the wrong place, is noticed. Number 0 stands for zeros.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/random.hpp"

namespace nbdring {

constexpr std::byte pattern_at(std::uint64_t number, std::uint64_t offset) {
  if (number == 0) return std::byte{0};
  const std::uint64_t word = Random::mix(number * 0x9e3779b97f4a7c15 + offset / 8);
  return static_cast<std::byte>(word >> (offset % 8 * 8));
}

inline void fill_pattern(std::span<std::byte> bytes, std::uint64_t number, std::uint64_t offset) {
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern_at(number, offset + i);
}

inline bool matches_pattern(std::span<const std::byte> bytes, std::uint64_t number,
                            std::uint64_t offset) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != pattern_at(number, offset + i)) return false;
  }
  return true;
}

inline std::vector<std::byte> pattern(std::uint64_t number, std::uint64_t offset,
                                      std::size_t length) {
  std::vector<std::byte> bytes(length);
  fill_pattern(bytes, number, offset);
  return bytes;
}

}  // namespace nbdring
