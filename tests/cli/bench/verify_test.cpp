#include "cli/bench/verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace nbdring {
namespace {

using ::testing::HasSubstr;

constexpr BlockIdentity identity{7, 409'600, 3};

std::vector<std::byte> block_of(const BlockIdentity& of, std::size_t size = 4096) {
  std::vector<std::byte> block(size);
  fill_block(block, of);
  return block;
}

std::string fault(const std::vector<std::byte>& block) {
  return fault_of(block, identity).value_or("none");
}

TEST(Verify, WhatWasWrittenIsRight) {
  for (const std::size_t size : {512U, 4096U, 1U << 20}) {
    EXPECT_EQ(fault_of(block_of(identity, size), identity), std::nullopt) << size;
  }
}

TEST(Verify, AnyFlippedBitIsFoundAndItsByteNamed) {
  for (std::size_t at = 0; at < 512; ++at) {
    for (const unsigned bit : {0U, 7U}) {
      auto block = block_of(identity, 512);
      block[at] ^= std::byte{1} << bit;
      EXPECT_THAT(fault(block), HasSubstr("has 1 wrong bytes of 512, the first at offset " +
                                          std::to_string(409'600 + at) + ": 0x"));
    }
  }
}

TEST(Verify, AnOlderGenerationIsStale) {
  EXPECT_EQ(fault(block_of({7, 409'600, 2})), "is stale: generation 2 instead of 3");
}

TEST(Verify, ABlockFromElsewhereIsNamed) {
  EXPECT_EQ(fault(block_of({7, 8192, 3})), "is the block of offset 8192");
  EXPECT_EQ(fault(block_of({8, 409'600, 3})), "is of another run (seed 8)");
}

TEST(Verify, ZerosAndHalvesAreWrong) {
  EXPECT_THAT(fault(std::vector<std::byte>(4096)), HasSubstr("wrong bytes"));
  auto torn = block_of(identity);
  const auto older = block_of({7, 409'600, 2});
  std::copy(older.begin() + 2048, older.end(), torn.begin() + 2048);
  EXPECT_THAT(fault(torn), HasSubstr("the first at offset 411648"));
}

TEST(Verify, EveryBlockDiffersFromEveryOther) {
  const auto base = block_of(identity);
  for (const BlockIdentity& other :
       {BlockIdentity{7, 409'600, 4}, BlockIdentity{7, 413'696, 3}, BlockIdentity{6, 409'600, 3}}) {
    const auto block = block_of(other);
    int same = 0;
    for (std::size_t i = 32; i < block.size(); ++i) same += block[i] == base[i];
    EXPECT_LT(same, 64);  // 16 by chance
  }
}

TEST(Generations, OnlyOneRequestHasABlock) {
  Generations generations(4);
  EXPECT_TRUE(generations.take(2));
  EXPECT_FALSE(generations.take(2));
  EXPECT_TRUE(generations.take(3));
  generations.give_back(2);
  EXPECT_TRUE(generations.take(2));
}

TEST(Generations, AreExpectedOnceWritten) {
  Generations generations(2);
  EXPECT_EQ(generations.expected(1), std::nullopt);
  for (const std::uint32_t count : {1U, 2U}) {
    ASSERT_TRUE(generations.take(1));
    EXPECT_EQ(generations.next(1), count);
    generations.written(1);
    EXPECT_EQ(generations.expected(1), count);
    generations.give_back(1);
    EXPECT_EQ(generations.expected(1), count);
  }
  EXPECT_EQ(generations.expected(0), std::nullopt);
}

TEST(Generations, AFailedWriteLeavesTheBlockUnknownUntilAGoodOne) {
  Generations generations(1);
  ASSERT_TRUE(generations.take(0));
  generations.written(0);
  generations.lost(0);
  generations.give_back(0);
  EXPECT_EQ(generations.expected(0), std::nullopt);
  ASSERT_TRUE(generations.take(0));
  EXPECT_EQ(generations.next(0), 3U);  // the failed one may be there, and is not this one
  generations.written(0);
  generations.give_back(0);
  EXPECT_EQ(generations.expected(0), 3U);
}

}  // namespace
}  // namespace nbdring
