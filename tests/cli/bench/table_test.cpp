#include "cli/bench/table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/cli/bench/sample_results.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

TEST(BenchTable, IsThis) {
  EXPECT_EQ(bench_table(two_depths()), R"(memory:1G
random reads, 4 KiB blocks, 1 connection
1.0 s each; CLIENT: CPU per request

DEPTH  THROUGHPUT    IOPS      P50      P99   P99.9   CLIENT
    1   195 MiB/s   50000  20.0 us  60.0 us  100 us  2.50 us
   32  1.53 GiB/s  400000  80.0 us   240 us  400 us  2.50 us
)");
}

TEST(BenchTable, OneRowHasNothingToTellApart) {
  EXPECT_EQ(bench_table({two_depths().back()}), R"(memory:1G
random reads, 4 KiB blocks, 1 connection, depth 32
1.0 s each; CLIENT: CPU per request

THROUGHPUT    IOPS      P50     P99   P99.9   CLIENT
1.53 GiB/s  400000  80.0 us  240 us  400 us  2.50 us
)");
}

TEST(BenchTable, ShowsTargetsByLettersAndMediansOfRounds) {
  EXPECT_EQ(bench_table(two_targets_three_rounds()), R"(A  memory:1G
B  nbd+unix:///?socket=/tmp/sock
random reads, 4 KiB blocks, 1 connection, depth 32
3 rounds of 1.0 s (medians); CLIENT, ENGINE: CPU per request

TARGET  THROUGHPUT    IOPS     P50      P99    P99.9   CLIENT   ENGINE
A        352 MiB/s   90000  356 us  1.07 ms  1.78 ms  2.50 us        -
B        703 MiB/s  180000  178 us   533 us   889 us  2.50 us  1.25 us
)");
}

TEST(BenchTable, TheSameTargetTwiceIsTwoTargets) {
  auto results = two_depths();
  results[1] = results[0];
  results[1].target_index = 1;
  EXPECT_THAT(bench_table(results), HasSubstr("A  memory:1G\nB  memory:1G\n"));
}

// Everything varies: what finds no room stands above the rows that share it.
TEST(BenchTable, FitsEightyColumnsWhateverVaries) {
  std::vector<BenchResult> results;
  for (const unsigned read_percent : {70U, 100U}) {
    for (const std::uint64_t block_size : {4096U, 262144U}) {
      for (const unsigned depth : {1U, 128U}) {
        for (const unsigned target : {0U, 1U}) {
          BenchPoint point{Pattern::zipf, 0.99,  read_percent,
                           block_size,    depth, depth == 1 ? 1U : 16U};
          results.push_back(sample_result(point, 9'876'543, target));
          results.back().engine_cpu_us = 9.99;
        }
      }
    }
  }
  const std::string text = bench_table(results);
  EXPECT_LE(widest_line(text), 80U) << text;
  EXPECT_THAT(text, HasSubstr("\nzipf:0.99 70% reads, 4 KiB blocks, 1 connection\n    1  A  "));
  EXPECT_THAT(text, HasSubstr("\nzipf:0.99 reads, 256 KiB blocks, 16 connections\n  128  A  "));
  EXPECT_THAT(text, HasSubstr("\nDEPTH  TARGET  THROUGHPUT"));
}

TEST(BenchTable, SaysWhatWentWrongAndWhere) {
  auto results = two_depths();
  results[1].errors = 3;
  results[1].verified = 1 << 20;
  results[1].wrong = 1;
  results[1].trouble = "offset 8192: a block of\nanother place";
  const std::string text = bench_table(results);
  EXPECT_THAT(text, HasSubstr("\ndepth 32: 3 requests failed\n"
                              "depth 32: WRONG BYTES in 1 block of 1.00 MiB read back\n"
                              "depth 32: offset 8192: a block of"));
  EXPECT_THAT(text, Not(HasSubstr("as written")));
  EXPECT_THAT(text, Not(HasSubstr("of\nanother")));
}

TEST(BenchTable, SaysThatBytesWereVerified) {
  auto results = two_depths();
  results[0].verified = results[1].verified = 1 << 20;
  EXPECT_THAT(bench_table(results), HasSubstr("\n\n2.00 MiB read back, all as written\n"));
}

TEST(BenchTable, WhatWasInterruptedCountsOnlyWhereThereIsNothingElse) {
  auto results = two_depths();
  results[1].was_interrupted = true;
  results[1].seconds = 0.25;
  std::string text = bench_table(results);
  EXPECT_THAT(text, HasSubstr("   32  6.10 GiB/s"));
  EXPECT_THAT(text, HasSubstr("\ndepth 32: interrupted after 0.2 s\n"));

  results.push_back(results[0]);
  results[2].round = 2;
  results[2].requests = results[2].bytes = 1;
  results[2].was_interrupted = true;
  text = bench_table(results);
  EXPECT_THAT(text, HasSubstr("    1   195 MiB/s    50000"));
  EXPECT_THAT(text, HasSubstr("\ndepth 1, round 2: interrupted after 1.0 s, not counted\n"));
}

TEST(BenchTable, WhatWasNotMeasuredIsADash) {
  BenchResult result;
  result.target = "tcp://nobody";
  result.seconds = 1;
  result.errors = 1;
  const std::string text = bench_table({result});
  EXPECT_THAT(text, HasSubstr("\nTHROUGHPUT  IOPS  P50  P99  P99.9  CLIENT\n"
                              "     0 B/s     0    -    -      -       -\n"));
  EXPECT_THAT(text, HasSubstr("\n1 request failed\n"));
}

TEST(BenchTable, ShowsNothingOfNothing) { EXPECT_EQ(bench_table({}), ""); }

}  // namespace
}  // namespace nbdring
