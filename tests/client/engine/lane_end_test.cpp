// How a lane ends, and what it owes its client until then.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "backends/memory.hpp"
#include "client/engine/lane.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 1024 * 1024;

std::vector<std::byte> wire_of(const ClientRequest& request,
                               std::span<const std::byte> payload = {}) {
  return ClientSide(false).encode(request, payload);
}

class LaneEndTest : public testing::Test {
 protected:
  static LaneOptions options(milliseconds stall_deadline = milliseconds(0)) {
    LaneOptions options = small_lane();
    options.slots = 8;
    options.stall_deadline = stall_deadline;
    return options;
  }

  MemoryBackend memory_{size};
  GatedBackend gated_{memory_};
};

TEST_F(LaneEndTest, IsOrderlyAfterDisconnect) {
  LaneFixture lane(memory_, options());
  lane.client().send(make_request(nbd::cmd_disc, 0, 0));
  const LaneEnd end = lane.end();
  EXPECT_TRUE(end.is_orderly);
  EXPECT_EQ(end.reason, "");
  EXPECT_TRUE(lane.client().reads_end());
}

TEST_F(LaneEndTest, IsOrderlyWhenTheStreamEndsBetweenRequests) {
  LaneFixture lane(memory_, options());
  lane.client().call(make_request(nbd::cmd_read, 0, 512));
  lane.client().close_writing();
  EXPECT_TRUE(lane.end().is_orderly);
}

TEST_F(LaneEndTest, AnswersWhatIsInFlightBeforeItEnds) {
  for (const bool says_goodbye : {true, false}) {
    GatedBackend gated(memory_);
    LaneFixture lane(gated, options());
    for (int i = 0; i < 5; ++i) lane.client().send(make_request(nbd::cmd_read, 0, 4096));
    if (says_goodbye) lane.client().send(make_request(nbd::cmd_disc, 0, 0));
    lane.client().close_writing();
    EXPECT_TRUE(eventually([&] { return lane.stats().state == LaneState::draining; }));
    EXPECT_EQ(lane.stats().in_flight.get(), 5U);
    gated.open_gate();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(lane.client().reply().error, 0U);
    EXPECT_TRUE(lane.end().is_orderly);
    EXPECT_TRUE(lane.client().reads_end());
  }
}

TEST_F(LaneEndTest, ForgetsAWriteThatWasCut) {
  LaneFixture lane(memory_, options());
  const auto data = pattern(1, 0, 100'000);
  const auto wire = wire_of(make_request(nbd::cmd_write, 0, 100'000), data);
  lane.client().send_raw(std::span(wire).first(wire.size() - 1));
  lane.client().close_writing();
  const LaneEnd end = lane.end();
  EXPECT_FALSE(end.is_orderly);
  EXPECT_NE(end.reason.find("in the middle of a request"), std::string::npos) << end.reason;
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(100'000), 0, 0));
}

TEST_F(LaneEndTest, NoticesTheEndInTheMiddleOfAHeader) {
  LaneFixture lane(memory_, options());
  const auto wire = wire_of(make_request(nbd::cmd_read, 0, 512));
  lane.client().send_raw(std::span(wire).first(27));
  lane.client().close_writing();
  EXPECT_FALSE(lane.end().is_orderly);
}

TEST_F(LaneEndTest, NoticesTheEndInAPayloadThatIsDrained) {
  LaneFixture lane(memory_, options());
  const auto wire = wire_of(make_request(nbd::cmd_write, size, 4096), pattern(1, 0, 4096));
  lane.client().send_raw(std::span(wire).first(100));
  lane.client().close_writing();
  EXPECT_FALSE(lane.end().is_orderly);
}

TEST_F(LaneEndTest, EndsAtAWrongMagicAndTellsIt) {
  LaneFixture lane(memory_, options());
  ClientRequest request = make_request(nbd::cmd_read, 0, 512);
  request.magic = 0x12345678;
  lane.client().call(make_request(nbd::cmd_read, 0, 512));
  lane.client().send_raw(wire_of(request));
  const LaneEnd end = lane.end();
  EXPECT_FALSE(end.is_orderly);
  EXPECT_NE(end.reason.find("0x12345678"), std::string::npos) << end.reason;
}

TEST_F(LaneEndTest, SurvivesAClientThatIsGoneBeforeItsReplies) {
  LaneFixture lane(gated_, options());
  for (int i = 0; i < 8; ++i) lane.client().send(make_request(nbd::cmd_read, 0, 32'768));
  EXPECT_TRUE(eventually([this] { return gated_.arrived() == 8; }));
  lane.client().close();
  gated_.open_gate();
  lane.end();
  EXPECT_EQ(lane.stats().in_flight.get(), 0U);
}

TEST_F(LaneEndTest, IsEndedByItsThreadsOwner) {
  LaneFixture lane(memory_, options());
  EXPECT_EQ(lane.wait_serving(), LaneState::serving);
  lane.thread().shut_down();
  EXPECT_TRUE(lane.end().is_orderly);
}

TEST_F(LaneEndTest, DropsAClientThatStopsInTheMiddleOfARequest) {
  const auto read = wire_of(make_request(nbd::cmd_read, 0, 512));
  const auto write = wire_of(make_request(nbd::cmd_write, 0, 70'000), pattern(1, 0, 70'000));
  const auto refused = wire_of(make_request(nbd::cmd_write, size, 70'000), pattern(1, 0, 70'000));
  for (const auto& [wire, bytes] :
       {std::pair(&read, 5), {&write, 40}, {&write, 60'000}, {&refused, 29}, {&refused, 60'000}}) {
    LaneFixture lane(memory_, options(milliseconds(50)));
    lane.client().send_raw(std::span(*wire).first(static_cast<std::size_t>(bytes)));
    const LaneEnd end = lane.end();
    EXPECT_FALSE(end.is_orderly);
    EXPECT_NE(end.reason.find("50 ms"), std::string::npos) << end.reason;
    EXPECT_TRUE(lane.client().reads_end());
  }
}

TEST_F(LaneEndTest, LetsAClientBeSilentBetweenRequests) {
  LaneFixture lane(memory_, options(milliseconds(20)));
  lane.client().call(make_request(nbd::cmd_read, 0, 512));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, 0, 512)).error, 0U);
}

TEST_F(LaneEndTest, LetsABackendTakeLongerThanTheStallDeadline) {
  LaneFixture lane(gated_, options(milliseconds(20)));
  lane.client().send(make_request(nbd::cmd_read, 0, 512));
  std::this_thread::sleep_for(milliseconds(100));
  gated_.open_gate();
  EXPECT_EQ(lane.client().reply().error, 0U);
}

TEST_F(LaneEndTest, DropsAClientThatDoesNotReadItsReplies) {
  LaneFixture lane(memory_, options(milliseconds(50)));
  for (int i = 0; i < 8; ++i) {
    lane.client().send(make_request(nbd::cmd_read, 0, 256 * 1024));
  }
  const LaneEnd end = lane.end();
  EXPECT_FALSE(end.is_orderly);
  EXPECT_EQ(lane.stats().in_flight.get(), 0U);
}

TEST_F(LaneEndTest, WaitsForeverForTheDriverToReadItsReplies) {
  LaneFixture lane(memory_, options());
  for (int i = 0; i < 8; ++i) {
    lane.client().send(make_request(nbd::cmd_read, 0, 256 * 1024));
  }
  std::this_thread::sleep_for(milliseconds(100));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(lane.client().reply().data.size(), 256U * 1024);
}

TEST_F(LaneEndTest, HasRepliesInAStreamThatTakesAlmostNothing) {
  fill_pattern(memory_.bytes(), 5, 0);
  LaneFixture lane(memory_, options());
  constexpr int smallest = 1;
  ::setsockopt(lane.client().fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest);
  for (std::uint64_t i = 0; i < 30; ++i) {
    lane.client().send(make_request(nbd::cmd_read, i * 30'000, 30'000));
  }
  for (int i = 0; i < 30; ++i) {
    const ClientReply reply = lane.client().reply();
    EXPECT_TRUE(matches_pattern(reply.data, 5, reply.request.offset));
  }
}

}  // namespace
}  // namespace nbdring
