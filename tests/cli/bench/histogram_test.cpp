#include "cli/bench/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace nbdring {
namespace {

using std::chrono::nanoseconds;

TEST(LatencyRecord, EveryBucketHoldsWhatLiesBelowItsBoundAndAboveTheOneBefore) {
  for (std::size_t bucket = 1; bucket < LatencyRecord::buckets; ++bucket) {
    const std::uint64_t upper = LatencyRecord::upper_bound_of(bucket);
    const std::uint64_t lower = LatencyRecord::upper_bound_of(bucket - 1) + 1;
    ASSERT_LE(lower, upper);
    ASSERT_EQ(LatencyRecord::bucket_of(lower), bucket);
    ASSERT_EQ(LatencyRecord::bucket_of(upper), bucket);
    // How wrong a latency can be that is shown as its bucket's bound.
    ASSERT_LE(static_cast<double>(upper - lower), 0.008 * static_cast<double>(lower));
  }
}

TEST(LatencyRecord, WhatIsLongerThanAllBucketsIsInTheLastAndInTheMaximum) {
  LatencyRecord record;
  const nanoseconds day(std::chrono::hours(24));
  record.add(day);
  const Latencies summary = summary_of({&record});
  EXPECT_EQ(LatencyRecord::bucket_of(static_cast<std::uint64_t>(day.count())),
            LatencyRecord::buckets - 1);
  EXPECT_EQ(summary.max, static_cast<std::uint64_t>(day.count()));
}

TEST(Latencies, OfNothingAreNothing) {
  const LatencyRecord record;
  const Latencies summary = summary_of({&record});
  EXPECT_EQ(summary.count, 0U);
  EXPECT_EQ(summary.p50 + summary.p999 + summary.max, 0U);
  EXPECT_TRUE(summary.curve.empty());
}

TEST(Latencies, OfOneRequestAreThatRequest) {
  LatencyRecord record;
  record.add(nanoseconds(123'456));
  const Latencies summary = summary_of({&record});
  for (const std::uint64_t latency :
       {summary.p50, summary.p90, summary.p99, summary.p999, summary.max, summary.mean}) {
    EXPECT_EQ(latency, 123'456U);
  }
}

TEST(Latencies, ArePercentilesOfAllLanesTogether) {
  LatencyRecord fast;
  LatencyRecord slow;
  for (int i = 1; i <= 900; ++i) fast.add(nanoseconds(i * 100));
  for (int i = 901; i <= 1000; ++i) slow.add(nanoseconds(i * 100));
  const Latencies summary = summary_of({&fast, &slow});
  const auto is_near = [](std::uint64_t found, double expected) {
    EXPECT_NEAR(static_cast<double>(found), expected, 0.008 * expected);
  };
  is_near(summary.p50, 50'000);
  is_near(summary.p90, 90'000);
  is_near(summary.p99, 99'000);
  is_near(summary.p999, 99'900);
  EXPECT_EQ(summary.max, 100'000U);
  EXPECT_EQ(summary.mean, 50'050U);
  EXPECT_EQ(summary.count, 1000U);
}

TEST(Latencies, CurveRisesToTheSlowestRequest) {
  LatencyRecord record;
  for (int i = 1; i <= 10'000; ++i) record.add(nanoseconds(i * 1000));
  const auto curve = summary_of({&record}).curve;
  ASSERT_GT(curve.size(), 20U);
  EXPECT_TRUE(std::is_sorted(curve.begin(), curve.end()));
  EXPECT_DOUBLE_EQ(curve.front().first, 0);
  EXPECT_EQ(curve.front().second, 1'003U);  // 1000 ns, at the end of its bucket
  EXPECT_DOUBLE_EQ(curve.back().first, 100);
  EXPECT_EQ(curve.back().second, 10'000'000U);
  EXPECT_GT(curve[curve.size() - 2].first, 99.9);
}

}  // namespace
}  // namespace nbdring
