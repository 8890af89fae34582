#pragma once
// The mask of a websocket frame (RFC 6455, 5.3): byte n is xored with byte n mod 4 of a key. It
// hides nothing; it keeps a script in a browser from writing bytes of its choice on the wire.
//
// One pass: unmasking is fused with the copy to where the payload belongs, 32 bytes at a time with
// AVX2 where the processor has it (asked at run time), else 8. Any alignment, any phase.

#include <algorithm>
#include <array>
#include <cstddef>

namespace nbdring {

using MaskKey = std::array<std::byte, 4>;

/// Copies and masks; the first byte gets the key's first. `to` may be `from`, or lie before it and
/// overlap.
void mask_copy(std::byte* to, const std::byte* from, std::size_t count,
               const MaskKey& key) noexcept;
/// The same without AVX2: what runs elsewhere, for the tests and the benchmark.
void mask_copy_words(std::byte* to, const std::byte* from, std::size_t count,
                     const MaskKey& key) noexcept;

/// A key and how far its payload has come.
class Mask {
 public:
  Mask() = default;
  explicit Mask(const MaskKey& key) : key_(key) {}

  void copy(std::byte* to, const std::byte* from, std::size_t count) noexcept {
    mask_copy(to, from, count, key_);
    std::rotate(key_.begin(), key_.begin() + count % key_.size(), key_.end());
  }

 private:
  MaskKey key_{};  // begins with the next byte's
};

}  // namespace nbdring
