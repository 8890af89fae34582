#include "backends/websocket/mask.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/support/random.hpp"

namespace nbdring {
namespace {

using Bytes = std::vector<std::byte>;
constexpr MaskKey key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};

Bytes some_bytes(std::size_t count) {
  Random random(count);
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

Bytes masked_plainly(const Bytes& bytes, std::size_t phase = 0) {
  Bytes masked(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) masked[i] ^= key[(i + phase) % 4];
  return masked;
}

using Copy = void (*)(std::byte*, const std::byte*, std::size_t, const MaskKey&) noexcept;

class MaskCopy : public testing::TestWithParam<Copy> {};

TEST_P(MaskCopy, IsTheKeyOverAndOverAtEveryLengthAndAlignment) {
  for (std::size_t count = 0; count <= 300; ++count) {
    const Bytes bytes = some_bytes(count);
    const Bytes expected = masked_plainly(bytes);
    for (const std::size_t from_at : {0, 1, 2, 3, 5, 8, 13, 31}) {
      for (const std::size_t to_at : {0, 1, 4, 7, 16, 30}) {
        Bytes from(from_at + count), to(to_at + count + 8, std::byte{0xa5});
        if (count > 0) std::memcpy(from.data() + from_at, bytes.data(), count);
        GetParam()(to.data() + to_at, from.data() + from_at, count, key);
        ASSERT_TRUE(
            std::equal(expected.begin(), expected.end(), to.begin() + static_cast<int>(to_at)))
            << count << " bytes from " << from_at << " to " << to_at;
        for (std::size_t i = 0; i < 8; ++i) {
          ASSERT_EQ(to[to_at + count + i], std::byte{0xa5}) << "written behind the end";
        }
      }
    }
  }
}

// Decoding within one buffer moves payload to the front, over the header that was before it.
TEST_P(MaskCopy, MayMoveBytesToTheFrontOfTheirOwnMemory) {
  for (const std::size_t count : {1, 31, 32, 33, 127, 128, 129, 1000, 70'001}) {
    const Bytes bytes = some_bytes(count);
    for (const std::size_t distance : {0, 1, 2, 6, 8, 14, 32, 100}) {
      Bytes memory(distance + count);
      std::memcpy(memory.data() + distance, bytes.data(), count);
      GetParam()(memory.data(), memory.data() + distance, count, key);
      memory.resize(count);
      ASSERT_EQ(memory, masked_plainly(bytes)) << count << " bytes by " << distance;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, MaskCopy, testing::Values(mask_copy, mask_copy_words));

TEST(Mask, GoesOnWhereItWasAtAnyCut) {
  const Bytes bytes = some_bytes(777);
  const Bytes expected = masked_plainly(bytes);
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    Mask mask(key);
    Bytes to(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t count = std::min(bytes.size() - at, random.below(150));
      mask.copy(to.data() + at, bytes.data() + at, count);
      at += count;
    }
    ASSERT_EQ(to, expected);
  }
}

}  // namespace
}  // namespace nbdring
