#include "client/protocol/coverage.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace nbdring {
namespace {

// All sequences of three ranges within six bytes, against a flag for each byte.
TEST(Coverage, IsRightForAllSmallCases) {
  constexpr std::uint32_t size = 6;
  struct Range {
    std::uint32_t from, to;
  };
  std::vector<Range> ranges;
  for (std::uint32_t from = 0; from < size; ++from) {
    for (std::uint32_t to = from + 1; to <= size; ++to) ranges.push_back({from, to});
  }
  for (const Range& a : ranges) {
    for (const Range& b : ranges) {
      for (const Range& c : ranges) {
        Coverage coverage;
        std::array<bool, size> has{};
        for (const Range& range : {a, b, c}) {
          bool overlaps = false;
          for (std::uint32_t i = range.from; i < range.to; ++i) overlaps |= has[i];
          ASSERT_EQ(coverage.add(range.from, range.to) == Coverage::Added::overlaps, overlaps);
          if (overlaps) break;
          for (std::uint32_t i = range.from; i < range.to; ++i) has[i] = true;
          bool whole = true;
          for (const bool byte : has) whole &= byte;
          ASSERT_EQ(coverage.is_whole(size), whole);
        }
      }
    }
  }
}

TEST(Coverage, BackwardsAndInterleaved) {
  Coverage coverage;
  for (std::uint32_t i = 100; i > 0; --i) {
    ASSERT_EQ(coverage.add((i - 1) * 10, i * 10), Coverage::Added::fresh);
  }
  EXPECT_TRUE(coverage.is_whole(1000));
  coverage.clear();
  EXPECT_FALSE(coverage.is_whole(1000));
  for (std::uint32_t i = 0; i < 64; i += 2) {
    ASSERT_EQ(coverage.add(i * 10, i * 10 + 10), Coverage::Added::fresh);
  }
  for (std::uint32_t i = 1; i < 64; i += 2) {
    ASSERT_EQ(coverage.add(i * 10, i * 10 + 10), Coverage::Added::fresh);
  }
  EXPECT_TRUE(coverage.is_whole(640));
}

TEST(Coverage, MoreGapsThanItHasRoomForAreSaid) {
  Coverage coverage;
  for (std::uint32_t i = 0; i < Coverage::ranges_max; ++i) {
    ASSERT_EQ(coverage.add(i * 2, i * 2 + 1), Coverage::Added::fresh);
  }
  EXPECT_EQ(coverage.add(1000, 1001), Coverage::Added::too_scattered);
  EXPECT_EQ(coverage.add(1, 2), Coverage::Added::fresh) << "what fills a gap still fits";
}

TEST(Coverage, LargestRead) {
  Coverage coverage;
  EXPECT_EQ(coverage.add(0, UINT32_MAX), Coverage::Added::fresh);
  EXPECT_EQ(coverage.add(UINT32_MAX - 1, UINT32_MAX), Coverage::Added::overlaps);
  EXPECT_TRUE(coverage.is_whole(UINT32_MAX));
}

}  // namespace
}  // namespace nbdring
