#include "client/engine/lane.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "backends/memory.hpp"
#include "tests/support/client_side.hpp"
#include "tests/support/faulty_backend.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;
constexpr TransmissionOptions structured{true, true};

LaneOptions lane_with(std::size_t slots) {
  LaneOptions options = small_lane();
  options.slots = slots;
  return options;
}

TEST(Lane, ReadsWhatWasWritten) {
  MemoryBackend memory(size);
  LaneFixture lane(memory, lane_with(4));
  const auto data = pattern(1, 1000, 5000);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write, 1000, 5000), data).error, 0U);
  const ClientReply reply = lane.client().call(make_request(nbd::cmd_read, 1000, 5000));
  EXPECT_EQ(reply.error, 0U);
  EXPECT_EQ(reply.data, data);
  EXPECT_TRUE(matches_pattern(memory.bytes().subspan(1000, 5000), 1, 1000));
}

TEST(Lane, ReadsWithStructuredReplies) {
  MemoryBackend memory(size);
  fill_pattern(memory.bytes(), 2, 0);
  LaneFixture lane(memory, lane_with(4), structured);
  const ClientReply reply = lane.client().call(make_request(nbd::cmd_read, 77, 70'000));
  EXPECT_TRUE(matches_pattern(reply.data, 2, 77));
  const ClientReply refused = lane.client().call(make_request(nbd::cmd_read, size, 1));
  EXPECT_EQ(refused.error, nbd::einval);
}

TEST(Lane, TrimsZeroesAndFlushes) {
  MemoryBackend memory(size);
  fill_pattern(memory.bytes(), 3, 0);
  LaneFixture lane(memory, lane_with(4));
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_trim, 0, 8192)).error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write_zeroes, 10'000, 5)).error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_flush, 0, 0)).error, 0U);
  EXPECT_TRUE(matches_pattern(memory.bytes().first(8192), 0, 0));
  EXPECT_TRUE(matches_pattern(memory.bytes().subspan(8192, 1808), 3, 8192));
  EXPECT_TRUE(matches_pattern(memory.bytes().subspan(10'000, 5), 0, 10'000));
  EXPECT_TRUE(matches_pattern(memory.bytes().subspan(10'005, 100), 3, 10'005));
}

TEST(Lane, TellsExtents) {
  MemoryBackend memory(size);
  LaneFixture lane(memory, lane_with(4), structured);
  const ClientReply reply = lane.client().call(make_request(nbd::cmd_block_status, 0, 65536));
  EXPECT_EQ(reply.error, 0U);
  ASSERT_EQ(reply.extents.size(), 1U);
  EXPECT_EQ(reply.extents[0].length, 65536U);
}

TEST(Lane, LimitsExtentsToWhatOneReplyHolds) {
  Export about;
  about.size = 16 * 1024 * 1024;
  Random random(1);
  FaultyBackend backend(about, random, {});
  LaneFixture lane(backend, lane_with(2), structured);
  const auto all = make_request(nbd::cmd_block_status, 0, 16 * 1024 * 1024);
  EXPECT_EQ(lane.client().call(all).extents.size(), 512U);
  const auto one = make_request(nbd::cmd_block_status, 0, 16 * 1024 * 1024, nbd::cmd_flag_req_one);
  EXPECT_EQ(lane.client().call(one).extents.size(), 1U);
}

TEST(Lane, RefusesWithTheErrorOfTheRuleAndGoesOn) {
  MemoryBackend memory(size);
  LaneFixture lane(memory, lane_with(1));
  const std::vector<std::byte> payload(100);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, size - 1, 2)).error, nbd::einval);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write, size, 100), payload).error,
            nbd::enospc);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write_zeroes, size, 1)).error, nbd::enospc);
  EXPECT_EQ(lane.client().call(make_request(0x1234, 0, 1)).error, nbd::einval);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, 0, 1)).error, 0U);
  lane.client().send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(lane.end().is_orderly);
  EXPECT_EQ(lane.stats().refused.get(), 4U);
  EXPECT_EQ(lane.stats().commands[0].requests.get(), 2U) << "the refused one is answered too";
}

TEST(Lane, RefusesToWriteToAReadOnlyExportAndDrainsThePayload) {
  MemoryBackend memory(size, true);
  LaneFixture lane(memory, lane_with(1));
  const auto data = pattern(1, 0, 200'000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write, 0, 200'000), data).error, nbd::eperm);
  }
  EXPECT_TRUE(matches_pattern(lane.client().call(make_request(nbd::cmd_read, 0, 100)).data, 0, 0));
}

TEST(Lane, DrainsAWriteThatIsLongerThanItsMemory) {
  MemoryBackend memory(size);
  LaneOptions options = small_lane();
  options.largest_payload = nbd::default_maximum_payload;
  LaneFixture lane(memory, options);
  const std::vector<std::byte> payload(nbd::default_maximum_payload + 4096);
  const auto length = static_cast<std::uint32_t>(payload.size());
  const ClientReply reply = lane.client().call(make_request(nbd::cmd_write, 0, length), payload);
  EXPECT_NE(reply.error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, 0, 512)).error, 0U);
}

TEST(Lane, CarriesTheLargestPayloadBothWays) {
  constexpr std::uint32_t largest = nbd::default_maximum_payload;
  MemoryBackend memory(largest);
  LaneFixture lane(memory, lane_with(4));
  const auto data = pattern(9, 0, largest);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write, 0, largest), data).error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, 0, largest)).data, data);
}

TEST(Lane, ServesMoreRequestsThanItHasSlots) {
  MemoryBackend memory(size);
  GatedBackend gated(memory);
  LaneFixture lane(gated, lane_with(2));
  for (std::uint64_t i = 0; i < 20; ++i) {
    lane.client().send(make_request(nbd::cmd_write, i * 512, 512), pattern(i + 1, i * 512, 512));
  }
  EXPECT_TRUE(eventually([&gated] { return gated.arrived() == 2; }));
  EXPECT_EQ(lane.stats().in_flight.get(), 2U);
  gated.open_gate();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(lane.client().reply().error, 0U);
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(matches_pattern(memory.bytes().subspan(i * 512, 512), i + 1, i * 512)) << i;
  }
}

TEST(Lane, WaitsForBufferSpaceWhenSlotsAreLeft) {
  MemoryBackend memory(size);
  GatedBackend gated(memory);
  LaneFixture lane(gated, lane_with(16));
  for (std::uint64_t i = 0; i < 8; ++i) {  // 64 KiB each, 256 KiB of memory
    lane.client().send(make_request(nbd::cmd_read, i * 65536, 65536));
  }
  EXPECT_TRUE(eventually([&gated] { return gated.arrived() == 4; }));
  gated.open_gate();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(lane.client().reply().error, 0U);
  EXPECT_EQ(gated.arrived(), 8U);
}

TEST(Lane, AnswersInAnyOrderAndWithTheRightData) {
  Export about;
  about.size = size;
  Random random(5);
  FaultyBackend backend(about, random, {});
  backend.fill(pattern(4, 0, size));
  GatedBackend gated(backend);
  LaneFixture lane(gated, lane_with(16));
  for (std::uint64_t i = 0; i < 16; ++i) {
    lane.client().send(make_request(nbd::cmd_read, i * 4096, 4096));
  }
  EXPECT_TRUE(eventually([&gated] { return gated.arrived() == 16; }));
  gated.open_gate();
  for (int i = 0; i < 16; ++i) {
    const ClientReply reply = lane.client().reply();
    EXPECT_TRUE(matches_pattern(reply.data, 4, reply.request.offset));
  }
}

TEST(Lane, TranslatesTheBackendsErrors) {
  Export about;
  about.size = size;
  Random random(6);
  FaultOptions always;
  always.error_percent = 100;
  FaultyBackend backend(about, random, always);
  LaneFixture lane(backend, lane_with(1));
  for (int i = 0; i < 50; ++i) {
    const ClientReply reply = lane.client().call(make_request(nbd::cmd_read, 0, 512));
    EXPECT_NE(reply.error, 0U);
    EXPECT_TRUE(reply.data.empty());
  }
  EXPECT_EQ(lane.stats().commands[0].errors.get(), 50U);
}

TEST(Lane, CountsRequestsBytesAndLatencies) {
  MemoryBackend memory(size);
  LaneFixture lane(memory, lane_with(4));
  for (int i = 0; i < 10; ++i) lane.client().call(make_request(nbd::cmd_read, 0, 4096));
  lane.client().call(make_request(nbd::cmd_trim, 0, 8192));
  lane.client().send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(lane.end().is_orderly);
  const auto& reads = lane.stats().commands[static_cast<std::size_t>(StatsCommand::read)];
  EXPECT_EQ(reads.requests.get(), 10U);
  EXPECT_EQ(reads.bytes.get(), 40'960U);
  EXPECT_EQ(reads.errors.get(), 0U);
  std::array<std::uint64_t, LatencyHistogram::buckets> sum{};
  reads.latency.add_to(sum);
  EXPECT_GT(percentile(sum, 100), 0U);
  EXPECT_LT(percentile(sum, 50), 10'000'000'000U) << "ten seconds for a read from memory";
  const auto& trims = lane.stats().commands[static_cast<std::size_t>(StatsCommand::trim)];
  EXPECT_EQ(trims.bytes.get(), 8192U);
  EXPECT_EQ(lane.stats().in_flight.get(), 0U);
  EXPECT_EQ(lane.stats().state.load(), LaneState::ended);
}

// Requests may come for a long time without the reader ever being empty between them.
TEST(Lane, TimesARequestFromItsOwnArrivalAndNotFromTheOneBefore) {
  MemoryBackend memory(size);
  for (const bool refused : {false, true}) {
    LaneFixture lane(memory, lane_with(4));
    const auto data = pattern(1, 0, 60'000);
    auto wire =
        ClientSide(false).encode(make_request(nbd::cmd_write, refused ? size : 0, 60'000), data);
    lane.client().send_raw(std::span(wire).first(1000));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    wire.erase(wire.begin(), wire.begin() + 1000);
    ClientRequest read = make_request(nbd::cmd_read, 0, 512);
    read.cookie = 1;
    const auto behind = ClientSide(false).encode(read, {});
    wire.insert(wire.end(), behind.begin(), behind.end());
    lane.client().send_raw(wire);
    lane.client().receive_raw(2 * sizeof(nbd::SimpleReplyHeader) + 512);
    const auto& reads = lane.stats().commands[static_cast<std::size_t>(StatsCommand::read)];
    EXPECT_TRUE(eventually([&reads] { return reads.requests.get() == 1; }));
    std::array<std::uint64_t, LatencyHistogram::buckets> sum{};
    reads.latency.add_to(sum);
    EXPECT_LT(percentile(sum, 100), 200'000'000U) << "nanoseconds";
  }
}

}  // namespace
}  // namespace nbdring
