#include "client/engine/arena.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "client/runtime/error.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

constexpr std::size_t resident = 256 * 1024;
constexpr std::size_t largest = 1024 * 1024;

// Pages of the buffer's mapping that have memory behind them.
std::size_t resident_pages(std::span<std::byte> buffer) {
  std::vector<unsigned char> pages((buffer.size() + Arena::unit - 1) / Arena::unit);
  EXPECT_EQ(::mincore(buffer.data(), buffer.size(), pages.data()), 0);
  std::size_t count = 0;
  for (const unsigned char page : pages) count += page & 1;
  return count;
}

TEST(Arena, GivesTheLowestRunThatIsFree) {
  Arena arena(resident, largest);
  const auto first = arena.allocate(1);
  const auto second = arena.allocate(2 * Arena::unit);
  const auto third = arena.allocate(Arena::unit);
  EXPECT_EQ(second.data(), first.data() + Arena::unit);
  EXPECT_EQ(third.data(), second.data() + 2 * Arena::unit);
  arena.release(second);
  const auto small = arena.allocate(100);
  EXPECT_EQ(small.data(), second.data());
  EXPECT_EQ(small.size(), 100U);
  const auto two = arena.allocate(2 * Arena::unit);  // does not fit before third any more
  EXPECT_EQ(two.data(), third.data() + Arena::unit);
  for (const auto& buffer : {first, third, small, two}) arena.release(buffer);
  EXPECT_EQ(arena.used_units(), 0U);
}

TEST(Arena, AlignsEveryBufferToAPage) {
  Arena arena(resident, largest);
  const auto first = arena.allocate(3);
  const auto second = arena.allocate(4097);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first.data()) % Arena::unit, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.data()) % Arena::unit, 0U);
  arena.release(second);
  arena.release(first);
}

TEST(Arena, IsEmptyHandedWhenFull) {
  Arena arena(resident, largest);
  const auto all = arena.allocate(resident);
  EXPECT_EQ(all.size(), resident);
  EXPECT_TRUE(arena.allocate(1).empty());
  arena.release(all);
  const auto again = arena.allocate(1);
  EXPECT_EQ(again.data(), all.data());
  arena.release(again);
}

TEST(Arena, LetsALargeRequestHaveEverythingAndWaitForIt) {
  Arena arena(resident, largest);
  const auto small = arena.allocate(1);
  EXPECT_TRUE(arena.allocate(resident + 1).empty()) << "something else is in flight";
  arena.release(small);
  const auto large = arena.allocate(largest);
  EXPECT_EQ(large.size(), largest);
  EXPECT_TRUE(arena.allocate(1).empty()) << "the large request is in flight";
  arena.release(large);
  EXPECT_EQ(arena.allocate(resident).size(), resident);
  arena.release(large.first(resident));
}

TEST(Arena, KeepsTheResidentPartAndGivesTheRestBack) {
  Arena arena(resident, largest);
  const auto large = arena.allocate(largest);
  EXPECT_EQ(resident_pages(large.first(resident)), resident / Arena::unit);
  EXPECT_EQ(resident_pages(large.subspan(resident)), 0U);
  std::memset(large.data(), 1, large.size());
  EXPECT_EQ(resident_pages(large), largest / Arena::unit);
  arena.release(large);
  EXPECT_EQ(resident_pages(large.first(resident)), resident / Arena::unit);
  EXPECT_EQ(resident_pages(large.subspan(resident)), 0U);
}

TEST(Arena, FindsRunsAcrossWordsOfItsBitmap) {
  constexpr std::size_t two_words = 2 * resident;
  Arena arena(two_words, largest);
  std::vector<std::span<std::byte>> pages;
  for (std::size_t i = 0; i < 128; ++i) pages.push_back(arena.allocate(Arena::unit));
  EXPECT_TRUE(arena.allocate(1).empty());
  for (std::size_t i = 60; i < 68; ++i) arena.release(pages[i]);
  EXPECT_TRUE(arena.allocate(9 * Arena::unit).empty());
  const auto run = arena.allocate(8 * Arena::unit);
  EXPECT_EQ(run.data(), pages[60].data());
  arena.release(run);
  for (std::size_t i = 0; i < 128; ++i) {
    if (i < 60 || i >= 68) arena.release(pages[i]);
  }
}

// Against a plain array of booleans.
TEST(Arena, AgreesWithASimpleModelOfFirstFit) {
  Arena arena(resident, largest);
  Random random(3);
  const auto probe = arena.allocate(1);
  const std::byte* begin = probe.data();
  arena.release(probe);
  std::vector<bool> taken(resident / Arena::unit);
  std::vector<std::span<std::byte>> held;
  for (int step = 0; step < 20'000; ++step) {
    if (!held.empty() && random.percent(50)) {
      const std::size_t which = random.below(held.size());
      const auto buffer = held[which];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      const auto first = static_cast<std::size_t>(buffer.data() - begin) / Arena::unit;
      for (std::size_t i = 0; i * Arena::unit < buffer.size(); ++i) taken[first + i] = false;
      arena.release(buffer);
      continue;
    }
    const std::size_t bytes = random.between(1, 12 * Arena::unit);
    const std::size_t units = (bytes + Arena::unit - 1) / Arena::unit;
    std::size_t expected = 0;
    for (std::size_t run = 0; expected + run < taken.size() && run < units;) {
      run = taken[expected + run] ? (expected += run + 1, 0) : run + 1;
    }
    const bool fits = expected + units <= taken.size();
    const auto buffer = arena.allocate(bytes);
    ASSERT_EQ(!buffer.empty(), fits) << "step " << step;
    if (!fits) continue;
    ASSERT_EQ(buffer.data(), begin + expected * Arena::unit) << "step " << step;
    for (std::size_t i = 0; i < units; ++i) taken[expected + i] = true;
    held.push_back(buffer);
  }
  for (const auto& buffer : held) arena.release(buffer);
}

TEST(ArenaDeathTest, NoticesABufferThatIsReleasedTwice) {
  Arena arena(resident, largest);
  const auto buffer = arena.allocate(1);
  const auto other = arena.allocate(1);
  arena.release(buffer);
  EXPECT_DEATH(arena.release(buffer), "does not hold");
  arena.release(other);
}

}  // namespace
}  // namespace nbdring
