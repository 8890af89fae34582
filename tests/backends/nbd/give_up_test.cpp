// What becomes of a lane's requests when nobody waits for their answers any more.

#include <gtest/gtest.h>

#include <cerrno>

#include "backends/nbd/backend.hpp"
#include "tests/support/crashable_server.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/held_keepsakes.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 8 * 1024 * 1024;
constexpr std::size_t block = 4096;
constexpr int under_way = -1;

class GiveUpTest : public testing::TestWithParam<bool> {
 protected:
  static std::uint16_t flags() {
    return GetParam() ? CrashableServer::everything
                      : CrashableServer::everything & ~nbd::flag_can_multi_conn;
  }
  RemoteOptions quick() {
    RemoteOptions options = quick_remote();
    options.journal_share_min = 64 * 1024;
    options.journal_bytes = 64 * 1024;
    options.keepsakes = &kept_;
    return options;
  }

  /// A request of its own, whose errno stands in `error` when it has ended.
  Task<void> write(Loop&, BackendLane& lane, std::uint64_t number, std::uint64_t offset,
                   int& error) {
    error = under_way;
    const auto bytes = pattern(number, offset, block);
    const Status status = co_await lane.write(offset, bytes, false);
    error = status.error();
  }
  Task<bool> reads(Loop&, BackendLane& lane, std::uint64_t number, std::uint64_t offset) {
    std::vector<std::byte> bytes(block);
    const Status status = co_await lane.read(offset, bytes);
    co_return status.is_ok() && matches_pattern(bytes, number, offset);
  }
  /// Until it has ended, or two seconds are over.
  Task<void> wait_end(Loop& loop, const int& error) {
    for (int i = 0; i < 400 && error == under_way; ++i) {
      co_await loop.sleep(milliseconds(5));
    }
  }

  CrashableServer server_{size, flags()};
  HeldKeepsakes kept_;
  CapturedLog log_;
  NbdBackend backend_{std::make_unique<CrashableSource>(server_), quick(), log_.log()};
  Loop loop_;
};

INSTANTIATE_TEST_SUITE_P(ManyConnectionsAndOne, GiveUpTest, testing::Bool());

TEST_P(GiveUpTest, WhatWaitsForTheServerEndsAndOthersGoOn) {
  const auto script = [this](Loop& loop) -> Task<void> {
    const auto given_up = backend_.open_lane(loop);
    const auto other = backend_.open_lane(loop);
    Scope scope(loop.frames());
    int first = 0;
    int second = 0;
    co_await write(loop, *given_up, 1, 0, first);
    co_await write(loop, *other, 2, block, second);
    EXPECT_EQ(first + second, 0);
    server_.crash();
    scope.spawn(write(loop, *given_up, 3, 0, first));
    scope.spawn(write(loop, *other, 4, block, second));
    co_await loop.sleep(milliseconds(100));
    EXPECT_EQ(first, under_way);
    given_up->give_up();
    co_await wait_end(loop, first);
    EXPECT_EQ(first, ECANCELED);
    EXPECT_EQ(second, under_way);
    // It leaves while the device is suspended; what it had written is still owed, and kept.
    const Status closed = co_await given_up->close();
    EXPECT_TRUE(closed.is_ok());
    server_.start();
    co_await scope.join();
    EXPECT_EQ(second, 0);
    bool is_right = co_await reads(loop, *other, 1, 0);
    EXPECT_TRUE(is_right);
    is_right = co_await reads(loop, *other, 4, block);
    EXPECT_TRUE(is_right);
    const Status ended = co_await other->close();
    EXPECT_TRUE(ended.is_ok());
  };
  loop_.run(script(loop_));
}

TEST_P(GiveUpTest, WhatIsSentEndsWithItsAnswer) {
  const auto script = [this](Loop& loop) -> Task<void> {
    const auto lane = backend_.open_lane(loop);
    Scope scope(loop.frames());
    int error = 0;
    co_await write(loop, *lane, 1, 0, error);
    server_.stall(true);
    scope.spawn(write(loop, *lane, 2, 0, error));
    co_await loop.sleep(milliseconds(100));
    lane->give_up();
    co_await loop.sleep(milliseconds(100));
    EXPECT_EQ(error, under_way);
    server_.stall(false);
    co_await scope.join();
    EXPECT_EQ(error, 0);
    const Status closed = co_await lane->close();
    EXPECT_TRUE(closed.is_ok());
    const auto next = backend_.open_lane(loop);
    const bool is_right = co_await reads(loop, *next, 2, 0);
    EXPECT_TRUE(is_right);
    const Status ended = co_await next->close();
    EXPECT_TRUE(ended.is_ok());
  };
  loop_.run(script(loop_));
}

// It may have been done: a newer one, on another lane, must not be overwritten by it.
TEST_P(GiveUpTest, WhatWasLostIsNotSentAgain) {
  const auto script = [this](Loop& loop) -> Task<void> {
    const auto lane = backend_.open_lane(loop);
    const auto next = backend_.open_lane(loop);
    Scope scope(loop.frames());
    int error = 0;
    co_await write(loop, *lane, 1, 0, error);
    server_.stall(true);
    scope.spawn(write(loop, *lane, 2, 0, error));
    co_await loop.sleep(milliseconds(100));
    lane->give_up();
    server_.crash();
    co_await wait_end(loop, error);
    EXPECT_EQ(error, ECANCELED);
    server_.start();
    server_.stall(false);
    co_await write(loop, *next, 3, 0, error);
    EXPECT_EQ(error, 0);
    const Status closed = co_await lane->close();
    EXPECT_TRUE(closed.is_ok());
    co_await loop.sleep(milliseconds(100));
    const bool is_right = co_await reads(loop, *next, 3, 0);
    EXPECT_TRUE(is_right);
    const Status ended = co_await next->close();
    EXPECT_TRUE(ended.is_ok());
  };
  loop_.run(script(loop_));
}

// A long outage: the driver's timer shoots the connections again and again.
TEST_P(GiveUpTest, GenerationsOfLanesTakeNoMoreMemory) {
  const auto script = [this](Loop& loop) -> Task<void> {
    int error = 0;
    auto first = backend_.open_lane(loop);
    co_await write(loop, *first, 1, 0, error);
    server_.crash();
    std::uint64_t after_ten = 0;
    for (int generation = 0; generation < 40; ++generation) {
      const auto lane = backend_.open_lane(loop);
      Scope scope(loop.frames());
      scope.spawn(write(loop, *lane, 2, 0, error));
      co_await loop.sleep(milliseconds(2));
      lane->give_up();
      co_await scope.join();
      EXPECT_EQ(error, ECANCELED);
      const Status closed = co_await lane->close();
      EXPECT_TRUE(closed.is_ok());
      const auto journals = kept_.find("journal");
      if (generation == 10) after_ten = size_of(journals->get());
      EXPECT_TRUE(generation <= 10 || size_of(journals->get()) == after_ten);
    }
    server_.start();
    const bool is_right = co_await reads(loop, *first, 1, 0);
    EXPECT_TRUE(is_right);
    const Status ended = co_await first->close();
    EXPECT_TRUE(ended.is_ok());
  };
  loop_.run(script(loop_));
}

}  // namespace
}  // namespace nbdring
