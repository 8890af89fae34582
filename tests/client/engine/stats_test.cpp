#include "client/engine/stats.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace nbdring {
namespace {

using std::chrono::nanoseconds;
using Sum = std::array<std::uint64_t, LatencyHistogram::buckets>;

TEST(LatencyHistogram, PutsEveryLatencyBetweenItsBucketsBounds) {
  for (std::uint64_t power = 0; power < 40; ++power) {
    for (const std::int64_t off : {-1, 0, 1}) {
      const std::uint64_t latency = (std::uint64_t{1} << power) + static_cast<std::uint64_t>(off);
      const std::size_t bucket = LatencyHistogram::bucket_of(latency);
      EXPECT_LE(latency, LatencyHistogram::upper_bound_of(bucket)) << latency;
      if (bucket > 0) {
        EXPECT_GT(latency, LatencyHistogram::upper_bound_of(bucket - 1)) << latency;
      }
    }
  }
}

TEST(LatencyHistogram, KeepsAnyLatencyInTheLastBucketAtWorst) {
  EXPECT_EQ(LatencyHistogram::bucket_of(UINT64_MAX), LatencyHistogram::buckets - 1);
}

TEST(LatencyHistogram, HasBoundsWithinAFourthOfEachOther) {
  for (std::size_t i = 8; i < LatencyHistogram::buckets; ++i) {
    const auto below = static_cast<double>(LatencyHistogram::upper_bound_of(i - 1));
    const auto bound = static_cast<double>(LatencyHistogram::upper_bound_of(i));
    EXPECT_LE(bound / below, 1.3) << i;
  }
}

TEST(Percentile, IsZeroWhereNothingWasCounted) { EXPECT_EQ(percentile(Sum{}, 50), 0U); }

TEST(Percentile, TellsTheBucketThatHoldsIt) {
  LatencyHistogram histogram;
  histogram.add(nanoseconds(1000), 90);
  histogram.add(nanoseconds(1'000'000), 10);
  Sum sum{};
  histogram.add_to(sum);
  const auto low = LatencyHistogram::upper_bound_of(LatencyHistogram::bucket_of(1000));
  const auto high = LatencyHistogram::upper_bound_of(LatencyHistogram::bucket_of(1'000'000));
  EXPECT_EQ(percentile(sum, 0), low);
  EXPECT_EQ(percentile(sum, 50), low);
  EXPECT_EQ(percentile(sum, 90), low);
  EXPECT_EQ(percentile(sum, 91), high);
  EXPECT_EQ(percentile(sum, 100), high);
}

TEST(Percentile, SumsOverLanes) {
  LatencyHistogram one, other;
  one.add(nanoseconds(100));
  other.add(nanoseconds(100'000));
  Sum sum{};
  one.add_to(sum);
  other.add_to(sum);
  EXPECT_LT(percentile(sum, 50), 130U);
  EXPECT_GT(percentile(sum, 51), 100'000U - 1);
}

TEST(Stats, CanBeReadWhileTheLaneCounts) {
  LaneStats stats;
  constexpr std::uint64_t count = 100'000;
  std::thread lane([&stats] {
    for (std::uint64_t i = 0; i < count; ++i) stats.commands[0].requests.add(1);
  });
  std::uint64_t seen = 0;
  while (seen < count) {
    const std::uint64_t now = stats.commands[0].requests.get();
    EXPECT_GE(now, seen);
    seen = now;
  }
  lane.join();
}

TEST(Stats, HaveANameForEveryCommandAndState) {
  EXPECT_EQ(std::string(name_of(StatsCommand::read)), "read");
  EXPECT_EQ(std::string(name_of(StatsCommand::write)), "write");
  EXPECT_EQ(std::string(name_of(StatsCommand::flush)), "flush");
  EXPECT_EQ(std::string(name_of(StatsCommand::trim)), "trim");
  EXPECT_EQ(std::string(name_of(StatsCommand::write_zeroes)), "write_zeroes");
  EXPECT_EQ(std::string(name_of(StatsCommand::block_status)), "block_status");
  EXPECT_EQ(std::string(name_of(LaneState::starting)), "starting");
  EXPECT_EQ(std::string(name_of(LaneState::ended)), "ended");
}

}  // namespace
}  // namespace nbdring
