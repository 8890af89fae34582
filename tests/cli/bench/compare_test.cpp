#include "cli/bench/compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/bench/summary.hpp"
#include "tests/cli/bench/sample_results.hpp"

namespace nbdring {
namespace {

TEST(BenchCompare, MedianSmallestAndLargestOverTheRounds) {
  EXPECT_EQ(compare_table(two_targets_three_rounds()),
            R"(
ratios to A, and below them their smallest and largest of 3 rounds

TARGET  THROUGHPUT        P50        P99      P99.9     CLIENT  ENGINE
B             2.00       0.50       0.50       0.50       1.00       -
         1.50-4.00  0.25-0.67  0.25-0.67  0.25-0.67  1.00-1.00
)");
}

// 2, 2 and 3 in rounds that were slower by the round: a ratio of medians would be 2.5.
TEST(BenchCompare, ARatioIsBetweenResultsOfTheSameRound) {
  std::vector<BenchResult> results;
  const std::uint64_t first[] = {100, 1000, 40};
  const std::uint64_t second[] = {200, 2000, 120};
  for (unsigned round = 1; round <= 3; ++round) {
    results.push_back(sample_result(depth_point(1), first[round - 1], 0, round));
    results.push_back(sample_result(depth_point(1), second[round - 1], 1, round));
  }
  EXPECT_THAT(compare_table(results), ::testing::HasSubstr("\nB             2.00 "));
  EXPECT_THAT(compare_table(results), ::testing::HasSubstr("\n         2.00-3.00 "));
}

TEST(BenchCompare, OneRoundHasNoSpreadAndASweepHasARowEach) {
  auto results = two_depths();
  results.push_back(sample_result(depth_point(1), 25'000, 1));
  results.push_back(sample_result(depth_point(32), 800'000, 1));
  EXPECT_EQ(compare_table(results), R"(
ratios to A

DEPTH  TARGET  THROUGHPUT   P50   P99  P99.9  CLIENT
    1  B             0.50  2.00  2.00   2.00    1.00
   32  B             2.00  0.50  0.50   0.50    1.00
)");
}

TEST(BenchCompare, ComparesTheEnginesWhereBothHaveOne) {
  auto results = two_targets_three_rounds();
  for (auto& result : results) result.engine_cpu_us = result.target_index == 0 ? 4 : 1;
  EXPECT_THAT(compare_table(results), ::testing::HasSubstr("1.00       0.25\n"));
}

TEST(BenchCompare, ARoundThatOneOfThemLacksIsLeftOut) {
  auto results = two_targets_three_rounds();
  results.pop_back();
  EXPECT_THAT(compare_table(results), ::testing::HasSubstr("\nB             1.75 "));
  EXPECT_THAT(compare_table(results), ::testing::HasSubstr("\n         1.50-2.00 "));
}

TEST(BenchCompare, ShowsNothingWithoutASecondTarget) {
  EXPECT_EQ(compare_table(two_depths()), "");
  EXPECT_EQ(compare_table({}), "");
  auto results = two_depths();
  for (auto& result : results) result.target_index = 1;
  EXPECT_EQ(compare_table(results), "");
}

TEST(BenchSpread, OfAnEvenNumberTheMedianIsBetweenTheMiddleTwo) {
  const auto spread = spread_of({4, 1, 3, 2});
  ASSERT_TRUE(spread.has_value());
  EXPECT_EQ(spread->median, 2.5);
  EXPECT_EQ(spread->smallest, 1);
  EXPECT_EQ(spread->largest, 4);
  EXPECT_FALSE(spread_of({}).has_value());
}

}  // namespace
}  // namespace nbdring
