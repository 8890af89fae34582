#include "backends/layers/readahead.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "backends/file.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/borrowed_backend.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024 + 512;
constexpr std::uint32_t step = 16 * 1024;
constexpr std::uint64_t window = 1024 * 1024;

class ReadAheadTest : public testing::Test {
 protected:
  ReadAheadTest() { file_.write(0, pattern(1, 0, size)); }
  std::unique_ptr<FileBackend> make_base() {
    FileSpec spec;
    spec.path = file_.path();
    return std::make_unique<FileBackend>(spec, log_.log());
  }

  CapturedLog log_;
  TemporaryFile file_{size};
  std::unique_ptr<FileBackend> base_ = make_base();
  GatedBackend gated_{*base_};
  std::unique_ptr<Backend> layer_ = read_ahead(std::make_unique<BorrowedBackend>(gated_), window);
};

TEST_F(ReadAheadTest, ReadsInARowAreFetchedAheadUpToTheWindow) {
  gated_.open_gate();
  LaneFixture lane(*layer_, small_lane());
  for (std::uint64_t at = 0; at < 3 * step; at += step) {
    const auto reply = lane.client().call(make_request(nbd::cmd_read, at, step));
    EXPECT_TRUE(matches_pattern(reply.data, 1, at));
  }
  // Two reads, a third that began the row, and the four pieces of the window: then none for them.
  ASSERT_TRUE(eventually([&] { return gated_.arrived() >= 6; }));
  const std::size_t before = gated_.arrived();
  EXPECT_LE(before, 7U);
  for (std::uint64_t at = 3 * step; at < 10 * step; at += step) {
    const auto reply = lane.client().call(make_request(nbd::cmd_read, at, step));
    EXPECT_TRUE(matches_pattern(reply.data, 1, at));
  }
  EXPECT_EQ(gated_.arrived(), before);
  lane.client().close();
  EXPECT_TRUE(lane.end().is_orderly);
  EXPECT_EQ(lane.frame_fallbacks(), 0U);
}

TEST_F(ReadAheadTest, ReadsAllOverFetchNothing) {
  gated_.open_gate();
  LaneFixture lane(*layer_, small_lane());
  std::size_t reads = 0;
  for (const std::uint64_t at : {5, 100, 7, 300, 9, 200, 42, 43, 10}) {
    const auto reply = lane.client().call(make_request(nbd::cmd_read, at * step, step));
    EXPECT_TRUE(matches_pattern(reply.data, 1, at * step));
    ++reads;
  }
  EXPECT_EQ(gated_.arrived(), reads);
}

TEST_F(ReadAheadTest, ReadsToTheVeryEnd) {
  BackendUser user(*layer_);
  gated_.open_gate();
  std::vector<std::byte> whole(size);
  for (std::uint64_t at = 0; at < size; at += 100'000) {
    const std::uint64_t count = std::min<std::uint64_t>(100'000, size - at);
    EXPECT_EQ(user.read(at, std::span(whole).subspan(at, count)), 0);
  }
  EXPECT_TRUE(matches_pattern(whole, 1, 0));
}

// What was fetched, and what is being fetched, is not used after a change on another lane.
TEST_F(ReadAheadTest, AChangeOfAnotherLaneIsSeenAtOnce) {
  gated_.open_gate();
  LaneFixture reader(*layer_, small_lane());
  LaneFixture writer(*layer_, small_lane());
  for (std::uint64_t at = 0; at < 3 * step; at += step) {
    reader.client().call(make_request(nbd::cmd_read, at, step));
  }
  ASSERT_TRUE(eventually([&] { return gated_.arrived() >= 6; }));
  const auto read = [&](std::uint64_t at) {
    return reader.client().call(make_request(nbd::cmd_read, at, step)).data;
  };
  EXPECT_TRUE(matches_pattern(read(3 * step), 1, 3 * step));
  const auto data = pattern(2, 4 * step, step);
  writer.client().call(make_request(nbd::cmd_write, 4 * step, step), data);
  EXPECT_EQ(read(4 * step), data);
  writer.client().call(make_request(nbd::cmd_write_zeroes, 5 * step, step));
  EXPECT_TRUE(matches_pattern(read(5 * step), 0, 0));
  writer.client().call(make_request(nbd::cmd_trim, 6 * step, step));
  EXPECT_TRUE(matches_pattern(read(6 * step), 0, 0));
}

// The fetch is under way when the write comes, has its bytes already, and ends after it.
TEST_F(ReadAheadTest, AFetchThatAWriteOvertakesIsThrownAway) {
  Random random(3);
  FaultyBackend faulty(base_->about(), random, FaultOptions());
  faulty.fill(pattern(1, 0, size));
  const auto layer = read_ahead(std::make_unique<BorrowedBackend>(faulty), window);
  for (int round = 0; round < 20; ++round) {
    Loop loop;
    const auto lane = layer->open_lane(loop);
    const auto run = [](Loop&, BackendLane& on, FaultyBackend& below, std::uint64_t number,
                        bool& right) -> Task<void> {
      std::vector<std::byte> buffer(step);
      for (std::uint64_t at = 0; at < 2 * step; at += step) {
        const Status status = co_await on.read(at, buffer);
        EXPECT_TRUE(status.is_ok());
      }
      FaultOptions waits;
      waits.waiting_percent = 100;
      below.set_options(waits);
      Scope scope(on.frames());
      scope.spawn([](BackendLane& user, std::span<std::byte> into) -> Task<void> {
        const Status status = co_await user.read(2 * step, into);
        EXPECT_TRUE(status.is_ok());
      }(on, buffer));
      below.set_options(FaultOptions());
      const auto data = pattern(number, 3 * step, step);
      const Status written = co_await on.write(3 * step, data, false);
      while (below.waiting() > 0) below.end_one(0);
      co_await scope.join();
      const Status read = co_await on.read(3 * step, buffer);
      right = written.is_ok() && read.is_ok() && buffer == data;
      const Status closed = co_await on.close();
      EXPECT_TRUE(closed.is_ok());
    };
    bool right = false;
    loop.run(run(loop, *lane, faulty, 10 + round, right));
    EXPECT_TRUE(right) << round;
  }
}

// A reader goes through the export again and again while a writer stamps every step with a growing
// number, in random order, and tells after each write: what is read is never older than that.
TEST_F(ReadAheadTest, NeverAnswersWithStaleBytes) {
  constexpr std::uint64_t seed = 11;
  constexpr std::size_t steps = 256;
  gated_.open_gate();
  std::vector<std::atomic<std::uint64_t>> acknowledged(steps);
  file_.write(0, std::vector<std::byte>(size));
  std::atomic<bool> ends{false};
  std::thread writer([&] {
    Random random(seed);
    BackendUser user(*layer_);
    std::vector<std::uint64_t> words(step / 8);
    for (std::uint64_t number = 1; !ends; ++number) {
      const std::uint64_t which = random.below(steps);
      std::fill(words.begin(), words.end(), number);
      EXPECT_EQ(user.write(which * step, std::as_bytes(std::span(words))), 0);
      acknowledged[which] = number;
      if (number % 16 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  {
    LaneFixture reader(*layer_, small_lane());
    for (int round = 0; round < 12; ++round) {
      for (std::uint64_t which = 0; which < steps; ++which) {
        const std::uint64_t least = acknowledged[which];
        const auto data =
            reader.client().call(make_request(nbd::cmd_read, which * step, step)).data;
        std::uint64_t first = 0;
        std::memcpy(&first, data.data(), sizeof first);
        ASSERT_GE(first, least) << "seed " << seed << " step " << which;
      }
    }
  }
  ends = true;
  writer.join();
}

}  // namespace
}  // namespace nbdring
