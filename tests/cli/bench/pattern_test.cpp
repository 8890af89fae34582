#include "cli/bench/pattern.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace nbdring {
namespace {

using ::testing::ElementsAre;

std::vector<std::uint64_t> take(BlockSource& source, std::size_t count) {
  std::vector<std::uint64_t> blocks(count);
  for (auto& block : blocks) block = source.next();
  return blocks;
}

TEST(BlockSource, SequentialBeginsAgainAtTheEnd) {
  BlockSource source(Pattern::sequential, 0, 3, 1);
  EXPECT_THAT(take(source, 7), ElementsAre(0, 1, 2, 0, 1, 2, 0));
}

TEST(BlockSource, AnyPatternLivesWithASingleBlock) {
  for (const Pattern pattern : {Pattern::sequential, Pattern::random, Pattern::zipf}) {
    BlockSource source(pattern, 0.9, 1, 7);
    EXPECT_THAT(take(source, 3), ElementsAre(0, 0, 0)) << name_of(pattern);
  }
}

class RandomPass : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RandomPass, HitsEveryBlockOnceAndTheNextPassInAnotherOrder) {
  const std::uint64_t blocks = GetParam();
  BlockSource source(Pattern::random, 0, blocks, 3);
  const auto first = take(source, blocks);
  const auto second = take(source, blocks);
  const std::set<std::uint64_t> all(first.begin(), first.end());
  EXPECT_EQ(all.size(), blocks);
  EXPECT_EQ(*all.rbegin(), blocks - 1);
  EXPECT_EQ(all, std::set<std::uint64_t>(second.begin(), second.end()));
  if (blocks > 10) {
    EXPECT_NE(first, second);
  }
}

// Around powers of two, where the network's halves change.
INSTANTIATE_TEST_SUITE_P(Sizes, RandomPass,
                         ::testing::Values(2, 3, 4, 5, 7, 8, 9, 100, 255, 256, 257, 1000, 65537));

TEST(BlockSource, RandomIsSpreadEvenlyFromTheStart) {
  constexpr std::uint64_t blocks = 1 << 20;
  constexpr std::size_t parts = 16;
  constexpr std::size_t count = 16'000;
  BlockSource source(Pattern::random, 0, blocks, 5);
  std::vector<std::size_t> hits(parts, 0);
  std::size_t neighbours = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t block = source.next();
    ++hits[block * parts / blocks];
    neighbours += block == before + 1;
    before = block;
  }
  // Chi squared with 15 degrees of freedom is below 37.7 in 999 of 1000.
  double chi_squared = 0;
  for (const std::size_t n : hits) {
    const double off = static_cast<double>(n) - 1000;
    chi_squared += off * off / 1000;
  }
  EXPECT_LT(chi_squared, 37.7);
  EXPECT_LT(neighbours, 5U);
}

TEST(BlockSource, ASeedIsARepetitionAndAnotherOneIsNot) {
  for (const Pattern pattern : {Pattern::random, Pattern::zipf}) {
    BlockSource one(pattern, 1.1, 100'000, 1);
    BlockSource same(pattern, 1.1, 100'000, 1);
    BlockSource other(pattern, 1.1, 100'000, 2);
    const auto blocks = take(one, 100);
    EXPECT_EQ(blocks, take(same, 100)) << name_of(pattern);
    EXPECT_NE(blocks, take(other, 100)) << name_of(pattern);
  }
}

TEST(BlockSource, HoldsForTheLargestExports) {
  constexpr std::uint64_t blocks = (std::uint64_t{1} << 63) / 512;
  for (const Pattern pattern : {Pattern::random, Pattern::zipf}) {
    BlockSource source(pattern, 0.5, blocks, 1);
    for (const std::uint64_t block : take(source, 1000)) EXPECT_LT(block, blocks);
  }
}

class Zipf : public ::testing::TestWithParam<double> {};

// The expectation is the definition: 1 / r^theta over the sum of all of them.
TEST_P(Zipf, RanksHaveTheProbabilityOfTheFormula) {
  constexpr std::uint64_t count = 1000;
  constexpr int samples = 400'000;
  const double theta = GetParam();
  const ZipfRanks ranks(count, theta);
  BenchRandom random(11);
  std::vector<double> seen(count + 1, 0);
  for (int i = 0; i < samples; ++i) {
    const std::uint64_t rank = ranks.next(random);
    ASSERT_GE(rank, 1U);
    ASSERT_LE(rank, count);
    seen[rank] += 1.0 / samples;
  }
  double sum = 0;
  for (std::uint64_t rank = 1; rank <= count; ++rank) {
    sum += std::pow(static_cast<double>(rank), -theta);
  }
  for (const std::uint64_t rank : {1, 2, 3, 5, 10, 30, 100, 500, 1000}) {
    const double expected = std::pow(static_cast<double>(rank), -theta) / sum;
    const double sigma = std::sqrt(expected * (1 - expected) / samples);
    EXPECT_NEAR(seen[rank], expected, 5 * sigma) << "rank " << rank << ", theta " << theta;
  }
}

INSTANTIATE_TEST_SUITE_P(Thetas, Zipf, ::testing::Values(0.3, 0.9, 0.999999999, 1.0, 1.1, 2.5));

TEST(BlockSource, ZipfsHotBlocksAreOftenHitAndNotNeighbours) {
  constexpr std::uint64_t blocks = 100'000;
  BlockSource source(Pattern::zipf, 1.1, blocks, 9);
  std::map<std::uint64_t, int> hits;
  for (int i = 0; i < 100'000; ++i) ++hits[source.next()];
  std::vector<std::pair<int, std::uint64_t>> hottest;
  for (const auto& [block, count] : hits) hottest.emplace_back(count, block);
  std::sort(hottest.rbegin(), hottest.rend());
  // 1 / zeta(1.1 over 100000) is 0.135.
  EXPECT_NEAR(hottest[0].first, 13'500, 600);
  for (int i = 1; i < 5; ++i) {
    const auto apart =
        static_cast<std::int64_t>(hottest[i].second) - static_cast<std::int64_t>(hottest[0].second);
    EXPECT_GT(std::abs(apart), 5);
  }
}

}  // namespace
}  // namespace nbdring
