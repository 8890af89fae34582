#include "backends/nbd/shape_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace nbdring {
namespace {

using testing::HasSubstr;

Export remote_of(std::uint64_t size, std::uint16_t flags = nbd::flag_has_flags) {
  Export remote;
  remote.name = "disk";
  remote.description = "a disk";
  remote.size = size;
  remote.transmission_flags = flags;
  return remote;
}

TEST(Presented, OffersWhatCanBeDoneByOtherMeans) {
  const Export shown = presented(remote_of(1 << 20));
  EXPECT_EQ(shown.name, "disk");
  EXPECT_EQ(shown.description, "a disk");
  EXPECT_EQ(shown.size, 1U << 20);
  for (const std::uint16_t flag : {nbd::flag_send_flush, nbd::flag_send_fua, nbd::flag_send_trim,
                                   nbd::flag_send_write_zeroes, nbd::flag_can_multi_conn}) {
    EXPECT_TRUE(shown.has(flag)) << flag;
  }
  EXPECT_FALSE(shown.has(nbd::flag_send_fast_zero)) << "that cannot";
  EXPECT_FALSE(shown.has(nbd::flag_rotational));
  EXPECT_EQ(shown.block_size.maximum, 32U << 20);
  EXPECT_EQ(broken_rule(shown), nullptr);
}

TEST(Presented, PassesOnWhatOnlyTheServerCanSay) {
  const std::uint16_t zeroes =
      nbd::flag_has_flags | nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero;
  EXPECT_TRUE(presented(remote_of(4096, zeroes)).has(nbd::flag_send_fast_zero));
  EXPECT_TRUE(presented(remote_of(4096, nbd::flag_has_flags | nbd::flag_rotational))
                  .has(nbd::flag_rotational));
  const Export only_read = presented(remote_of(4096, zeroes | nbd::flag_read_only));
  EXPECT_TRUE(only_read.is_read_only());
  EXPECT_FALSE(only_read.has(nbd::flag_send_trim));
  EXPECT_FALSE(only_read.has(nbd::flag_send_fast_zero));
}

TEST(Presented, BlocksAndSize) {
  struct Case {
    std::uint32_t minimum, preferred, maximum;
    std::uint64_t size;
    std::uint32_t shown_minimum;
    std::uint64_t shown_size;
    bool rewrites;
  };
  const std::vector<Case> cases{
      {1, 4096, 32 << 20, 1'000'001, 1, 1'000'001, false},
      {512, 4096, 32 << 20, 1'000'001, 512, 999'936, false},
      {4096, 4096, 65536, 1'000'001, 4096, 999'424, false},
      {65536, 65536, 65536, 1'000'001, 4096, 983'040, true},
      {8192, 65536, UINT32_MAX, 8192, 4096, 8192, true},
      {1, 64 << 20, 64 << 20, 4096, 1, 4096, false},
  };
  for (const Case& c : cases) {
    Export remote = remote_of(c.size);
    remote.block_size = {c.minimum, c.preferred, c.maximum};
    const Export shown = presented(remote);
    EXPECT_EQ(shown.block_size.minimum, c.shown_minimum);
    EXPECT_EQ(shown.size, c.shown_size);
    EXPECT_EQ(broken_rule(shown), nullptr);
    EXPECT_EQ(rewrites_blocks(remote), c.rewrites);
    remote.transmission_flags |= nbd::flag_read_only;
    EXPECT_FALSE(rewrites_blocks(remote));
  }
}

TEST(Presented, RefusesWhatIsBroken) {
  const auto refusal = [](const Export& remote) -> std::string {
    try {
      presented(remote);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::unreachable);
      return failure.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(remote_of(0)), HasSubstr("'disk' cannot be used: its size is 0"));
  EXPECT_THAT(refusal(remote_of(1ULL << 63)), HasSubstr("2^63"));
  EXPECT_THAT(refusal(remote_of(511)), HasSubstr("smaller than its minimum block size"));
  EXPECT_THAT(refusal(remote_of(4096, 0)), HasSubstr("HAS_FLAGS"));
  Export odd = remote_of(4096);
  odd.block_size = {3, 4096, 4096};
  EXPECT_THAT(refusal(odd), HasSubstr("power of two"));
  odd.block_size = {512, 4096, 1024};
  EXPECT_THAT(refusal(odd), HasSubstr("less than the preferred"));
}

TEST(ShapeRules, LimitsAreMultiplesOfTheBlock) {
  Export remote = remote_of(1 << 30);
  remote.block_size = {65536, 65536, UINT32_MAX};
  const ShapeRules compact(remote, {});
  EXPECT_EQ(compact.payload, 32U << 20);
  EXPECT_EQ(compact.range % 65536, 0U);
  EXPECT_LE(compact.range, UINT32_MAX);
  EXPECT_FALSE(compact.has_status);
  const ShapeRules wide(remote, TransmissionOptions{false, true, true});
  EXPECT_GT(wide.range, UINT64_MAX / 4);
  EXPECT_EQ(wide.range % 65536, 0U);
  EXPECT_TRUE(wide.has_status);
}

// All lists of up to three extents within 12 bytes, blocks of 4: nothing is called a hole or zero
// that was not, and all boundaries are blocks'.
TEST(AlignExtents, NeverPromisesMoreForAllSmallCases) {
  constexpr std::uint32_t minimum = 4;
  constexpr std::uint32_t longest = 6;
  const auto check = [](const std::vector<nbd::Extent>& given) {
    std::vector<std::uint32_t> before;
    for (const nbd::Extent& extent : given) {
      before.insert(before.end(), extent.length, extent.flags);
    }
    std::vector<nbd::Extent> found = given;
    const std::size_t used = align_extents(found, minimum);
    ASSERT_GE(used, 1U);
    ASSERT_LE(used, given.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < used; ++i) {
      ASSERT_GT(found[i].length, 0U);
      ASSERT_EQ(found[i].length % minimum, 0U);
      for (std::uint32_t n = 0; n < found[i].length; ++n, ++at) {
        const std::uint32_t truth = at < before.size() ? before[at] : 0;
        ASSERT_EQ(found[i].flags & ~truth, 0U) << "byte " << at << " of " << given.size();
      }
    }
    ASSERT_GE(at + minimum - 1, before.size()) << "at most a part of a block is left out";
  };
  for (std::uint32_t a = 1; a <= longest; ++a) {
    for (std::uint32_t b = 0; b <= longest; ++b) {
      for (std::uint32_t c = 0; c <= longest; ++c) {
        for (std::uint32_t flags = 0; flags < 64; ++flags) {
          std::vector<nbd::Extent> extents{{a, flags & 3}};
          if (b > 0) extents.push_back({b, flags >> 2 & 3});
          if (c > 0) extents.push_back({c, flags >> 4});
          check(extents);
        }
      }
    }
  }
}

TEST(AlignExtents, LeavesAlignedOnesAlone) {
  std::vector<nbd::Extent> extents{{512, 0}, {1024, 3}, {4096, 1}};
  ASSERT_EQ(align_extents(extents, 512), 3U);
  EXPECT_EQ(extents[1].length, 1024U);
  EXPECT_EQ(extents[1].flags, 3U);
}

}  // namespace
}  // namespace nbdring
