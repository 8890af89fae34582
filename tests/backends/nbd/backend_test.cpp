#include "backends/nbd/backend.hpp"

#include <gtest/gtest.h>

#include <list>

#include "tests/support/allocations.hpp"
#include "tests/support/crashable_server.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024;
constexpr std::uint32_t block = 4096;

class NbdBackendTest : public testing::TestWithParam<bool> {
 protected:
  static std::uint16_t flags() {
    return GetParam() ? CrashableServer::everything
                      : CrashableServer::everything & ~nbd::flag_can_multi_conn;
  }

  void attach(std::size_t lanes, const RemoteOptions& options = quick_remote()) {
    backend_ = std::make_unique<NbdBackend>(std::make_unique<CrashableSource>(server_), options,
                                            log_.log());
    for (std::size_t i = 0; i < lanes; ++i) lanes_.emplace_back(*backend_, small_lane());
    // A lane connects with its first request, and is then admitted by a flush of another's.
    for (std::size_t i = 0; i < lanes; ++i) ASSERT_TRUE(reads(0, 0, i));
  }
  BlockingClient& client(std::size_t lane = 0) { return std::next(lanes_.begin(), lane)->client(); }

  std::uint32_t write(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0,
                      std::uint16_t command_flags = 0) {
    const auto bytes = pattern(number, offset, block);
    return client(lane)
        .call(make_request(nbd::cmd_write, offset, block, command_flags), bytes)
        .error;
  }
  std::uint32_t flush(std::size_t lane = 0) {
    return client(lane).call(make_request(nbd::cmd_flush, 0, 0)).error;
  }
  bool reads(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0) {
    const auto reply = client(lane).call(make_request(nbd::cmd_read, offset, block));
    return reply.error == 0 && matches_pattern(reply.data, number, offset);
  }
  bool is_stable(std::uint64_t number, std::uint64_t offset) {
    return matches_pattern(server_.disk().stable(offset, block), number, offset);
  }
  bool is_state(const std::string& state) {
    return eventually([&] { return backend_->health().state == state; });
  }

  CrashableServer server_{size, flags()};
  CapturedLog log_;
  std::unique_ptr<NbdBackend> backend_;
  std::list<LaneFixture> lanes_;
};

INSTANTIATE_TEST_SUITE_P(ManyConnectionsAndOne, NbdBackendTest, testing::Bool());

TEST_P(NbdBackendTest, ReadsAndWrites) {
  attach(2);
  EXPECT_EQ(backend_->about().size, size);
  EXPECT_TRUE(backend_->about().has(nbd::flag_can_multi_conn));
  EXPECT_EQ(write(1, 0), 0U);
  EXPECT_EQ(write(2, block, 1), 0U);
  EXPECT_TRUE(reads(1, 0, 1));
  EXPECT_TRUE(reads(2, block, 0));
  EXPECT_EQ(backend_->health().volatile_writes, 2U);
  EXPECT_EQ(flush(), 0U);
  EXPECT_TRUE(is_stable(1, 0));
  EXPECT_TRUE(is_stable(2, block));
  EXPECT_EQ(server_.connections(), GetParam() ? 2U : 1U);
}

// The point of it all: a new server process knows nothing of what the old one acknowledged.
TEST_P(NbdBackendTest, WritesAgainWhatACrashedServerHadAcknowledged) {
  attach(2);
  ASSERT_EQ(write(1, 0), 0U);
  ASSERT_EQ(write(2, 0), 0U);
  ASSERT_EQ(write(3, block, 1), 0U);
  server_.crash();
  ASSERT_TRUE(is_state("recovering"));
  server_.start();
  ASSERT_EQ(write(4, 2 * block), 0U);
  ASSERT_EQ(flush(), 0U);
  EXPECT_TRUE(is_stable(2, 0));
  EXPECT_TRUE(is_stable(3, block));
  EXPECT_TRUE(is_stable(4, 2 * block));
  const BackendHealth health = backend_->health();
  EXPECT_EQ(health.reconnects, 1U);
  EXPECT_EQ(health.replayed_writes, 3U);
  EXPECT_EQ(health.replayed_bytes, 3U * block);
}

TEST_P(NbdBackendTest, WritesInTheOrderOfTheAcknowledgementsOfAllLanes) {
  attach(3);
  for (std::uint64_t i = 1; i <= 90; ++i) ASSERT_EQ(write(i, 0, i % 3), 0U);
  server_.crash();
  server_.start();
  ASSERT_EQ(flush(1), 0U);
  EXPECT_TRUE(is_stable(90, 0));
}

// FUA is durable by itself, but what is older and is written again must not hide it.
TEST_P(NbdBackendTest, AnOlderWriteDoesNotHideANewerOneWithFua) {
  attach(2);
  ASSERT_EQ(write(1, 0), 0U);
  ASSERT_EQ(write(2, 0, 1, nbd::cmd_flag_fua), 0U);
  server_.crash();
  server_.start();
  EXPECT_TRUE(reads(2, 0));
}

TEST_P(NbdBackendTest, RequestsInFlightAreAskedAgain) {
  attach(1);
  server_.stall(true);
  const auto bytes = pattern(5, 0, block);
  client().send(make_request(nbd::cmd_write, 0, block), bytes);
  client().send(make_request(nbd::cmd_read, block, block));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  server_.crash();
  server_.start();
  EXPECT_EQ(client().reply().error, 0U);
  EXPECT_EQ(client().reply().error, 0U);
  EXPECT_TRUE(reads(5, 0));
}

TEST_P(NbdBackendTest, SurvivesManyCrashesWhileWriting) {
  attach(2);
  std::vector<std::uint64_t> last(64, 0);
  std::uint64_t number = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t at = (number * 7) % last.size();
      ++number;
      ASSERT_EQ(write(number, at * block, number % 2), 0U);
      last[at] = number;
    }
    server_.crash();
    server_.start();
  }
  ASSERT_EQ(flush(), 0U);
  for (std::size_t i = 0; i < last.size(); ++i) EXPECT_TRUE(is_stable(last[i], i * block)) << i;
}

TEST_P(NbdBackendTest, ACutNetworkCostsNothingEither) {
  attach(2);
  ASSERT_EQ(write(1, 0), 0U);
  server_.cut();
  EXPECT_TRUE(reads(1, 0, 1));
  EXPECT_EQ(write(2, 0, 1), 0U);
  EXPECT_TRUE(reads(2, 0));
}

TEST_P(NbdBackendTest, AfterTheWindowRequestsFailUntilTheServerIsBack) {
  RemoteOptions options = quick_remote();
  options.recovery_window = std::chrono::milliseconds(100);
  attach(1, options);
  ASSERT_EQ(write(1, 0), 0U);
  server_.crash();
  const auto begin = Clock::now();
  EXPECT_EQ(write(2, block), nbd::eio);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  EXPECT_TRUE(is_state("failed"));
  server_.start();
  ASSERT_TRUE(is_state("serving"));
  EXPECT_TRUE(reads(1, 0)) << "acknowledged before, and kept";
  EXPECT_EQ(write(3, block), 0U);
}

TEST_P(NbdBackendTest, AnotherDiskIsNotTakenForTheSame) {
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  server_.crash();
  Export other = server_.disk().about();
  const Export same = other;
  other.size /= 2;
  server_.disk().set_about(other);
  server_.start();
  EXPECT_EQ(write(2, 0), nbd::eio);
  EXPECT_TRUE(is_state("failed"));
  EXPECT_NE(backend_->health().last_reason.find("another disk"), std::string::npos);
  EXPECT_FALSE(is_stable(1, 0));
  server_.crash();
  server_.disk().set_about(same);
  server_.start();
  ASSERT_TRUE(is_state("serving"));
  EXPECT_TRUE(reads(1, 0));
}

TEST_P(NbdBackendTest, ALargerDiskIsTheSameAndTold) {
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  server_.crash();
  Export larger = server_.disk().about();
  larger.size *= 2;
  server_.disk().set_about(larger);
  server_.start();
  EXPECT_TRUE(reads(1, 0));
  EXPECT_EQ(backend_->about().size, size);
  lanes_.clear();
  backend_.reset();
  EXPECT_NE(log_.text().find(std::to_string(2 * size) + " bytes now"), std::string::npos)
      << log_.text();
}

TEST_P(NbdBackendTest, AbandonEndsWhatWaits) {
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  server_.crash();
  client().send(make_request(nbd::cmd_read, 0, block));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  backend_->abandon();
  EXPECT_EQ(client().reply().error, nbd::eio);
  client().close();
  lanes_.front().end();
  EXPECT_FALSE(lanes_.front().closed().is_ok());
  lanes_.clear();
  backend_.reset();
  EXPECT_NE(log_.text().find("1 acknowledged writes (4096 bytes) may be lost"), std::string::npos)
      << log_.text();
}

TEST_P(NbdBackendTest, AbandonEndsWhatAStalledServerKeeps) {
  attach(1);
  ASSERT_TRUE(reads(0, 0));
  server_.stall(true);
  client().send(make_request(nbd::cmd_read, 0, block));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  backend_->abandon();
  EXPECT_EQ(client().reply().error, nbd::eio);
}

TEST_P(NbdBackendTest, ALaneThatLeavesHasFlushed) {
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  client().close();
  lanes_.front().end();
  EXPECT_TRUE(lanes_.front().closed().is_ok());
  EXPECT_TRUE(is_stable(1, 0));
}

TEST_P(NbdBackendTest, AFullJournalIsFlushed) {
  RemoteOptions options = quick_remote();
  options.journal_bytes = 1024 * 1024;
  attach(1, options);
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(write(i + 1, i * block), 0U);
  EXPECT_GE(server_.disk().flushes(), 3U);
  EXPECT_LE(backend_->health().volatile_bytes, 1024U * 1024U);
  server_.crash();
  server_.start();
  ASSERT_EQ(flush(), 0U);
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(is_stable(i + 1, i * block)) << i;
}

TEST_P(NbdBackendTest, AFailedFlushInTheBackgroundIsToldByTheNext) {
  RemoteOptions options = quick_remote();
  options.journal_bytes = 1024 * 1024;
  attach(1, options);
  server_.disk().fail_flushes(EIO);
  std::uint32_t error = 0;
  for (std::uint64_t i = 0; i < 1000 && error == 0; ++i) error = write(i + 1, i * block);
  EXPECT_EQ(error, nbd::eio);
  server_.disk().fail_flushes(0);
  EXPECT_EQ(flush(), nbd::eio);
  EXPECT_EQ(flush(), 0U);
  EXPECT_EQ(write(1, 0), 0U);
}

TEST_P(NbdBackendTest, ReadOnlyIsKept) {
  RemoteOptions options = quick_remote();
  options.read_only = true;
  attach(2, options);
  EXPECT_TRUE(backend_->about().is_read_only());
  EXPECT_TRUE(reads(0, 0, 0));
  server_.crash();
  server_.start();
  EXPECT_TRUE(reads(0, 0, 1));
}

// Memory may be what the device is to free.
TEST_P(NbdBackendTest, ALaneAllocatesNothingPerRequest) {
  LaneOptions lane = small_lane();
  lane.slots = 128;
  lane.resident_bytes = 1024 * 1024;
  attach(0);
  lanes_.emplace_back(*backend_, lane);
  const auto round = [this] {
    const auto bytes = pattern(1, 0, block);
    for (std::uint64_t i = 0; i < 128; ++i) {
      client().send(make_request(nbd::cmd_write, i * block, block), bytes);
    }
    for (int i = 0; i < 128; ++i) ASSERT_EQ(client().reply().error, 0U);
    ASSERT_EQ(flush(), 0U);
    ASSERT_TRUE(reads(1, 0));
  };
  for (int i = 0; i < 5; ++i) round();
  const std::uint64_t before = counted_allocations();
  for (int i = 0; i < 50; ++i) round();
  EXPECT_EQ(counted_allocations() - before, 0U);
}

TEST(NbdBackend, ThrowsWhereTheServerIsAway) {
  CrashableServer server(size);
  server.crash();
  CapturedLog log;
  EXPECT_THROW(NbdBackend(std::make_unique<CrashableSource>(server), quick_remote(), log.log()),
               Failure);
}

TEST(NbdBackend, SharesOneConnectionWhereTheServerTakesNoMore) {
  CrashableServer server(size);
  server.allow_connections(2);
  CapturedLog log;
  NbdBackend backend(std::make_unique<CrashableSource>(server), quick_remote(), log.log());
  std::list<LaneFixture> lanes;
  for (int i = 0; i < 4; ++i) lanes.emplace_back(backend, small_lane());
  std::uint64_t offset = 0;
  for (LaneFixture& lane : lanes) {
    const auto bytes = pattern(1, offset, block);
    EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write, offset, block), bytes).error, 0U);
    offset += block;
  }
  EXPECT_TRUE(eventually([&] { return server.connections() == 1; }));
}

TEST(NbdBackend, SharesOneConnectionWhereEachMayReachAnotherServer) {
  CrashableServer server(size);
  CapturedLog log;
  NbdBackend backend(std::make_unique<CrashableSource>(server, false), quick_remote(), log.log());
  LaneFixture first(backend, small_lane());
  LaneFixture second(backend, small_lane());
  EXPECT_EQ(first.client().call(make_request(nbd::cmd_read, 0, block)).error, 0U);
  EXPECT_EQ(second.client().call(make_request(nbd::cmd_read, 0, block)).error, 0U);
  EXPECT_EQ(server.connections(), 1U);
}

}  // namespace
}  // namespace nbdring
