#include "backends/layers/cache.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "backends/file.hpp"
#include "backends/layers/cache_table.hpp"
#include "backends/memory.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/borrowed_backend.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t block = 64 * 1024;
constexpr std::uint64_t size = 64 * block + 5000;

class CacheTest : public testing::Test {
 protected:
  CacheTest() {
    fill_pattern(memory_.bytes(), 1, 0);
    counted_.open_gate();
  }
  std::unique_ptr<Backend> cache(std::uint64_t bytes = 16 << 20) {
    CacheOptions options;
    options.bytes = bytes;
    return cached(std::make_unique<BorrowedBackend>(counted_), options, log_.log());
  }

  MemoryBackend memory_{size};
  GatedBackend counted_{memory_};
  CapturedLog log_;
};

TEST_F(CacheTest, WhatWasReadIsNotAskedForAgain) {
  const auto backend = cache();
  BackendUser user(*backend);
  std::vector<std::byte> bytes(100);
  EXPECT_EQ(user.read(10, bytes), 0);  // brings the whole block
  EXPECT_EQ(counted_.arrived(), 1U);
  EXPECT_EQ(user.read(5000, bytes), 0);
  EXPECT_TRUE(matches_pattern(bytes, 1, 5000));
  std::vector<std::byte> all(size);
  EXPECT_EQ(user.read(0, all), 0);  // the rest by one request
  EXPECT_TRUE(matches_pattern(all, 1, 0));
  EXPECT_LE(counted_.arrived(), 3U);
  const std::size_t before = counted_.arrived();
  EXPECT_EQ(user.read(size - 100, bytes), 0);
  EXPECT_TRUE(matches_pattern(bytes, 1, size - 100));
  EXPECT_EQ(counted_.arrived(), before);
}

TEST_F(CacheTest, WritesGoBelowAndIntoTheCache) {
  const auto backend = cache();
  BackendUser user(*backend);
  std::vector<std::byte> bytes(3 * block);
  EXPECT_EQ(user.read(0, bytes), 0);
  const auto data = pattern(2, block - 10, block + 20);
  EXPECT_EQ(user.write(block - 10, data), 0);
  EXPECT_TRUE(matches_pattern(memory_.bytes().subspan(block - 10, block + 20), 2, block - 10));
  const std::size_t before = counted_.arrived();
  EXPECT_EQ(user.read(0, bytes), 0);
  EXPECT_EQ(counted_.arrived(), before);
  EXPECT_TRUE(matches_pattern(std::span(bytes).first(block - 10), 1, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(block - 10, block + 20), 2, block - 10));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(2 * block + 10), 1, 2 * block + 10));
}

TEST_F(CacheTest, ZeroesAndTrimsAreSeen) {
  const auto backend = cache();
  BackendUser user(*backend);
  std::vector<std::byte> bytes(size);
  EXPECT_EQ(user.read(0, bytes), 0);
  EXPECT_EQ(user.write_zeroes(100, 2 * block), 0);
  EXPECT_EQ(user.trim(10 * block, block), 0);
  EXPECT_EQ(user.read(0, bytes), 0);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), memory_.bytes().begin()));
}

TEST_F(CacheTest, IsBoundedAndMakesRoom) {
  const auto backend = cache(1 << 20);  // 16 blocks of 65
  BackendUser user(*backend);
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t at = random.below(size - 100);
    std::vector<std::byte> bytes(100);
    EXPECT_EQ(user.read(at, bytes), 0);
    EXPECT_TRUE(matches_pattern(bytes, 1, at));
  }
  EXPECT_GT(counted_.arrived(), 100U);
  EXPECT_LT(counted_.arrived(), 480U);
}

TEST_F(CacheTest, AFailureBelowIsNotKept) {
  Random random(1);
  FaultyBackend faulty(memory_.about(), random, FaultOptions());
  faulty.fill(memory_.bytes());
  const auto backend =
      cached(std::make_unique<BorrowedBackend>(faulty), CacheOptions(), log_.log());
  BackendUser user(*backend);
  std::vector<std::byte> bytes(block);
  FaultOptions errors;
  errors.error_percent = 100;
  faulty.set_options(errors);
  EXPECT_NE(user.read(10, std::span(bytes).first(10)), 0);
  EXPECT_NE(user.read(block, bytes), 0);
  faulty.set_options(FaultOptions());
  EXPECT_EQ(user.read(0, bytes), 0);
  EXPECT_TRUE(matches_pattern(bytes, 1, 0));
  faulty.set_options(errors);
  EXPECT_NE(user.write(0, pattern(2, 0, block)), 0);  // stored in part, nobody knows which
  faulty.set_options(FaultOptions());
  EXPECT_EQ(user.read(0, bytes), 0);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), faulty.contents().begin()));
}

TEST_F(CacheTest, TheFileIsMadeAnewAndLeavesNothing) {
  TemporaryFile there(0);
  CacheOptions options;
  options.path = there.path();
  EXPECT_THROW(cached(std::make_unique<BorrowedBackend>(counted_), options, log_.log()), Failure);
  options.path = there.path() + ".cache";
  const auto backend = cached(std::make_unique<BorrowedBackend>(counted_), options, log_.log());
  EXPECT_NE(::access(options.path.c_str(), F_OK), 0);
}

Task<void> write_and_note(BackendLane& lane, std::span<const std::byte> bytes, Status& status) {
  status = co_await lane.write(0, bytes, false);
}

// While a write is under way a read brings what was there before it into the cache.
Task<void> read_beside_a_write(BackendLane& lane, FaultyBackend& below, std::uint64_t number,
                               bool& is_seen) {
  FaultOptions waits;
  waits.waiting_percent = 100;
  below.set_options(waits);
  const auto data = pattern(number, 0, 1000);
  std::vector<std::byte> buffer(1000);
  Status written;
  Scope scope(lane.frames());
  scope.spawn(write_and_note(lane, data, written));
  below.set_options(FaultOptions());
  const Status before = co_await lane.read(0, buffer);
  below.end_one(0);
  co_await scope.join();
  const Status after = co_await lane.read(0, buffer);
  is_seen = written.is_ok() && before.is_ok() && after.is_ok() && buffer == data;
}

TEST_F(CacheTest, WhatIsFetchedBesideAWriteIsNotKept) {
  Random random(2);
  FaultyBackend faulty(memory_.about(), random, FaultOptions());
  faulty.fill(memory_.bytes());
  for (std::uint64_t number = 2; number < 22; ++number) {
    const auto backend =
        cached(std::make_unique<BorrowedBackend>(faulty), CacheOptions(), log_.log());
    Loop loop;
    const auto lane = backend->open_lane(loop);
    bool is_seen = false;
    loop.run(read_beside_a_write(*lane, faulty, number, is_seen));
    EXPECT_TRUE(is_seen) << number;
  }
}

// Every lane writes numbers of its own that grow, to blocks that all share: what is read is at
// least what was acknowledged before, and at the end the cache holds what is below.
TEST_F(CacheTest, ManyLanesNeverReadWhatIsOld) {
  constexpr std::uint64_t words = 8;  // one word for each lane in each 4 KiB
  constexpr std::uint64_t pieces = size / 4096;
  for (std::uint64_t seed = 50; seed < 56; ++seed) {
    const TemporaryFile file(size);  // memory knows no two lanes at one place
    FileSpec spec;
    spec.path = file.path();
    CacheOptions options;
    options.bytes = seed % 2 == 0 ? 1 << 20 : 16 << 20;
    const auto backend =
        cached(std::make_unique<FileBackend>(spec, log_.log()), options, log_.log());
    std::vector<std::atomic<std::uint64_t>> acknowledged(pieces * words);
    std::vector<std::thread> threads;
    for (std::uint64_t own = 0; own < 4; ++own) {
      threads.emplace_back([&, own] {
        Random random(seed + 1000 * own);
        BackendUser user(*backend);
        for (std::uint64_t number = 1; number < 1500; ++number) {
          const std::uint64_t piece = random.below(pieces);
          const std::uint64_t at = piece * 4096;
          if (random.percent(40)) {
            EXPECT_EQ(user.write(at + own * 8, std::as_bytes(std::span(&number, 1))), 0);
            acknowledged[piece * words + own] = number;
            continue;
          }
          const std::uint64_t other = random.below(4);
          const std::uint64_t least = acknowledged[piece * words + other];
          std::uint64_t found = 0;
          EXPECT_EQ(user.read(at + other * 8, std::as_writable_bytes(std::span(&found, 1))), 0);
          EXPECT_GE(found, least) << "seed " << seed << " piece " << piece;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    BackendUser user(*backend);
    std::vector<std::byte> all(size);
    EXPECT_EQ(user.read(0, all), 0);
    EXPECT_EQ(all, file.read(0, size)) << "seed " << seed;
  }
}

TEST(CacheTable, AFetchBesideAChangeIsSpoilt) {
  CacheTable table(CacheTable::ways);
  CacheTable::Slot slot = 0;
  ASSERT_EQ(table.look_up(1, slot), CacheTable::Found::fetch);
  EXPECT_FALSE(table.begin_change(1).has_value());
  table.leave_fetch(slot, true);
  table.spoil(1);
  EXPECT_EQ(table.look_up(1, slot), CacheTable::Found::fetch);
}

TEST(CacheTable, TwoChangesAtOnceSpoilAndSoDoesWhatIsFetchedBesideThem) {
  CacheTable table(CacheTable::ways);
  CacheTable::Slot slot = 0;
  ASSERT_EQ(table.look_up(1, slot), CacheTable::Found::fetch);
  table.leave_fetch(slot, true);
  const auto first = table.begin_change(1);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(table.begin_change(1).has_value());
  CacheTable::Slot beside = 0;
  ASSERT_EQ(table.look_up(1, beside), CacheTable::Found::fetch);
  table.leave_fetch(beside, true);
  EXPECT_FALSE(table.may_update(*first));
  table.leave_change(*first, true);
  EXPECT_EQ(table.look_up(1, slot), CacheTable::Found::fetch);
}

TEST(CacheTable, WhatIsInUseStays) {
  CacheTable table(CacheTable::ways);
  CacheTable::Slot slot = 0;
  for (std::uint64_t number = 0; number < CacheTable::ways; ++number) {
    ASSERT_EQ(table.look_up(number, slot), CacheTable::Found::fetch);
  }
  EXPECT_EQ(table.look_up(100, slot), CacheTable::Found::pass);
  EXPECT_EQ(table.look_up(3, slot), CacheTable::Found::pass);
  table.leave_fetch(0, true);
  EXPECT_EQ(table.look_up(100, slot), CacheTable::Found::fetch);
  EXPECT_EQ(slot, 0U);
}

}  // namespace
}  // namespace nbdring
