#include "client/protocol/bytes.hpp"

#include <gtest/gtest.h>

#include <array>

namespace nbdring {
namespace {

template <typename T>
std::vector<int> bytes_of(const T& value) {
  std::vector<int> numbers;
  for (const std::byte byte : std::as_bytes(std::span(&value, 1))) {
    numbers.push_back(std::to_integer<int>(byte));
  }
  return numbers;
}

TEST(BigEndian, HasItsMostSignificantByteFirst) {
  EXPECT_EQ(bytes_of(Be16(0x0102)), (std::vector<int>{1, 2}));
  EXPECT_EQ(bytes_of(Be32(0x01020304)), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(bytes_of(Be64(0x0102030405060708)), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(BigEndian, ConvertsBothWaysAtCompileTime) {
  static_assert(Be16(0xfffe) == 0xfffe);
  static_assert(Be32(0x80000001) == 0x80000001);
  static_assert(Be64(UINT64_MAX - 1) == UINT64_MAX - 1);
}

TEST(Opaque64, KeepsTheOrderInMemory) {
  const std::array<unsigned char, 8> wire{8, 7, 6, 5, 4, 3, 2, 1};
  std::uint64_t raw = 0;
  std::memcpy(&raw, wire.data(), wire.size());
  EXPECT_EQ(bytes_of(Opaque64(raw)), (std::vector<int>{8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(Opaque64(raw), raw);
}

TEST(Structs, AreReadFromAnyPlaceInABuffer) {
  struct Pair {
    Be16 first;
    Be64 second;
  };
  std::vector<std::byte> bytes;
  append_text(bytes, "x");
  append_struct(bytes, Pair{0x1234, 42});
  ASSERT_EQ(bytes.size(), 11u);
  const auto pair = read_struct<Pair>(std::span(bytes).subspan(1));
  EXPECT_EQ(pair.first, 0x1234);
  EXPECT_EQ(pair.second, 42u);
}

TEST(Structs, ReadingBeyondTheBufferIsAProgrammersError) {
  const std::vector<std::byte> bytes(3);
  EXPECT_DEATH(read_struct<Be32>(bytes), "internal error");
}

}  // namespace
}  // namespace nbdring
