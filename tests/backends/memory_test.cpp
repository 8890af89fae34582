#include "backends/memory.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "tests/support/backend_user.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 10 * 4096 + 100;

std::size_t pages_in_memory(std::span<std::byte> bytes) {
  std::vector<unsigned char> pages((bytes.size() + 4095) / 4096);
  EXPECT_EQ(::mincore(bytes.data(), bytes.size(), pages.data()), 0);
  std::size_t count = 0;
  for (const unsigned char page : pages) count += page & 1;
  return count;
}

class MemoryBackendTest : public testing::Test {
 protected:
  MemoryBackendTest() { fill_pattern(backend_.bytes(), 1, 0); }

  // The range reads as zeros, everything else as before.
  void expect_zeros(std::uint64_t offset, std::uint64_t length) {
    const auto bytes = backend_.bytes();
    EXPECT_TRUE(matches_pattern(bytes.first(offset), 1, 0));
    EXPECT_TRUE(matches_pattern(bytes.subspan(offset, length), 0, offset));
    EXPECT_TRUE(matches_pattern(bytes.subspan(offset + length), 1, offset + length));
  }

  MemoryBackend backend_{size};
  BackendUser user_{backend_};
};

TEST_F(MemoryBackendTest, OffersEverythingUnlessReadOnly) {
  EXPECT_EQ(broken_rule(backend_.about()), nullptr);
  EXPECT_EQ(backend_.about().size, size);
  EXPECT_TRUE(backend_.about().has(nbd::flag_send_trim));
  EXPECT_TRUE(backend_.about().has(nbd::flag_can_multi_conn));
  const MemoryBackend constant(4096, true);
  EXPECT_TRUE(constant.about().is_read_only());
  EXPECT_FALSE(constant.about().has(nbd::flag_send_trim));
  EXPECT_FALSE(constant.about().has(nbd::flag_send_write_zeroes));
}

TEST_F(MemoryBackendTest, KeepsWhatIsWrittenAtAnyByte) {
  const auto data = pattern(2, 4095, 4099);
  EXPECT_EQ(user_.write(4095, data), 0);
  std::vector<std::byte> back(4099);
  EXPECT_EQ(user_.read(4095, back), 0);
  EXPECT_EQ(back, data);
  EXPECT_EQ(user_.flush(), 0);
}

TEST_F(MemoryBackendTest, ZeroesAnyRangeAndNothingBesideIt) {
  for (const std::uint64_t offset : {0, 1, 4095, 4096, 4097, 8192, 40'000}) {
    for (const std::uint64_t length : {1, 100, 960, 4096, 8192, 12'289, 20'000}) {
      if (offset + length > size) continue;
      for (const bool no_hole : {false, true}) {
        fill_pattern(backend_.bytes(), 1, 0);
        ZeroMode mode;
        mode.no_hole = no_hole;
        EXPECT_EQ(user_.write_zeroes(offset, length, mode), 0);
        expect_zeros(offset, length);
      }
      fill_pattern(backend_.bytes(), 1, 0);
      EXPECT_EQ(user_.trim(offset, length), 0);
      expect_zeros(offset, length);
    }
  }
}

TEST_F(MemoryBackendTest, GivesTrimmedPagesBack) {
  EXPECT_EQ(pages_in_memory(backend_.bytes()), 11U);
  EXPECT_EQ(user_.trim(4096, 5 * 4096), 0);
  EXPECT_EQ(pages_in_memory(backend_.bytes()), 6U);
  ZeroMode stays;
  stays.no_hole = true;
  EXPECT_EQ(user_.write_zeroes(0, size, stays), 0);
  EXPECT_EQ(pages_in_memory(backend_.bytes()), 11U);
}

TEST_F(MemoryBackendTest, CallsEverythingAllocated) {
  const auto extents = user_.extents(100, 5000);
  ASSERT_EQ(extents.size(), 1U);
  EXPECT_EQ(extents[0].length, 5000U);
  EXPECT_EQ(extents[0].flags, 0U);
}

TEST_F(MemoryBackendTest, TakesNoMemoryUntilItIsWritten) {
  constexpr std::uint64_t much = std::uint64_t{1} << 36;
  MemoryBackend backend(much);
  BackendUser user(backend);
  EXPECT_EQ(user.write(much - 1, pattern(3, 0, 1)), 0);
  std::vector<std::byte> back(1);
  EXPECT_EQ(user.read(much - 1, back), 0);
  EXPECT_EQ(back, pattern(3, 0, 1));
}

TEST(MemoryBackend, RefusesWhatCannotBeMapped) {
  EXPECT_THROW(MemoryBackend(std::uint64_t{1} << 62), Failure);
}

}  // namespace
}  // namespace nbdring
