#include "backends/websocket/mask.hpp"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nbdring {
namespace {

#if defined(__x86_64__)

using Vector = __m256i;

__attribute__((target("avx2"))) inline Vector load(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
}

__attribute__((target("avx2"))) inline void store(std::byte* to, Vector value) {
  _mm256_storeu_si256(reinterpret_cast<Vector*>(to), value);
}

// Whole vectors only; returns how many bytes it did. All of a block is loaded before any of it is
// stored: that is what lets `to` lie just before `from`.
__attribute__((target("avx2"))) std::size_t mask_vectors(std::byte* to, const std::byte* from,
                                                         std::size_t count, std::uint32_t key) {
  constexpr std::size_t width = sizeof(Vector);
  constexpr std::size_t block = 4 * width;
  const Vector keys = _mm256_set1_epi32(static_cast<int>(key));
  std::size_t done = 0;
  for (; count - done >= block; done += block) {
    const Vector a = load(from + done);
    const Vector b = load(from + done + width);
    const Vector c = load(from + done + 2 * width);
    const Vector d = load(from + done + 3 * width);
    store(to + done, _mm256_xor_si256(a, keys));
    store(to + done + width, _mm256_xor_si256(b, keys));
    store(to + done + 2 * width, _mm256_xor_si256(c, keys));
    store(to + done + 3 * width, _mm256_xor_si256(d, keys));
  }
  for (; count - done >= width; done += width) {
    store(to + done, _mm256_xor_si256(load(from + done), keys));
  }
  return done;
}

bool has_vectors() noexcept { return __builtin_cpu_supports("avx2") != 0; }

#else

std::size_t mask_vectors(std::byte*, const std::byte*, std::size_t, std::uint32_t) { return 0; }
bool has_vectors() noexcept { return false; }

#endif

}  // namespace

void mask_copy_words(std::byte* to, const std::byte* from, std::size_t count,
                     const MaskKey& key) noexcept {
  std::uint32_t half = 0;
  std::memcpy(&half, key.data(), sizeof half);
  const std::uint64_t keys = std::uint64_t{half} << 32 | half;  // in memory the key twice
  std::size_t done = 0;
  for (; count - done >= sizeof keys; done += sizeof keys) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + done, sizeof word);
    word ^= keys;
    std::memcpy(to + done, &word, sizeof word);
  }
  for (; done < count; ++done) to[done] = from[done] ^ key[done % key.size()];
}

void mask_copy(std::byte* to, const std::byte* from, std::size_t count,
               const MaskKey& key) noexcept {
  std::size_t done = 0;
  if (count >= 64 && has_vectors()) {
    std::uint32_t pattern = 0;
    std::memcpy(&pattern, key.data(), sizeof pattern);
    done = mask_vectors(to, from, count, pattern);
  }
  mask_copy_words(to + done, from + done, count - done, key);
}

}  // namespace nbdring
