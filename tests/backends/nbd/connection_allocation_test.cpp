// Nothing is allocated per request, neither by the connection nor for its coroutines' frames. And
// what a stream that holds bytes back does to the answers.
#include <gtest/gtest.h>

#include "backends/nbd/shape.hpp"
#include "tests/support/allocations.hpp"
#include "tests/support/connected.hpp"
#include "tests/support/late_stream.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;

constexpr TransmissionOptions structured{true, true};

void serve_structured(ServerEnd& server) {
  const Chunks c;
  for (SeenRequest seen = server.request(); seen.command != nbd::cmd_disc;
       seen = server.request()) {
    if (seen.command == nbd::cmd_read) {
      server.send(c.data(seen.cookie, seen.offset, Bytes(seen.length)));
    } else if (seen.command == nbd::cmd_block_status) {
      server.send(c.status(seen.cookie, test_context, {{seen.length, 0}}));
    } else {
      server.send(simple_reply(seen.cookie));
    }
  }
}

// One of many that ask without a pause.
Task<void> ask_often(Connection& connection, Shape& shape, std::uint64_t seed, int requests,
                     std::span<std::byte> buffer) {
  static_cast<void>(connection);
  Random random(seed);
  std::array<nbd::Extent, 2> room{};
  for (int i = 0; i < requests; ++i) {
    const std::uint64_t offset = random.below(64) * 65536;
    const std::size_t length = random.percent(80) ? 4096 : buffer.size();
    ExtentList list{room, 0};
    Answer answer;
    switch (random.below(6)) {
      case 0:
      case 1:
        answer = co_await shape.read(offset, buffer.first(length));
        break;
      case 2:
      case 3:
        answer = co_await shape.write(offset, buffer.first(length), true);
        break;
      case 4:
        answer = co_await shape.trim(offset, length, false);
        break;
      default:
        answer = co_await shape.extents(offset, 65536, list);
        break;
    }
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
  }
}

TEST(Connection, AllocatesNothingPerRequest) {
  Connected connected;
  connected.transmission = structured;
  connected.options.requests_max = 64;  // fewer than ask: some wait
  std::uint64_t allocations = 0;
  connected.run(serve_structured, [&](Connection& connection) -> Task<void> {
    Loop& loop = *connected.loop;
    Shape shape(loop, connection);
    std::vector<Bytes> buffers(128, Bytes(256 * 1024));
    Scope scope(connection.frames());
    const std::uint64_t before = counted_allocations();
    count_allocations_of_this_thread(true);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      scope.spawn(ask_often(connection, shape, i, 100, buffers[i]));
    }
    co_await scope.join();
    count_allocations_of_this_thread(false);
    allocations = counted_allocations() - before;
  });
  EXPECT_EQ(allocations, 0U);
  EXPECT_EQ(connected.frame_fallbacks, 0U) << "coroutine frames that did not fit the pool";
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(Connection, AnswersToWhatTheStreamHoldsAreKeptUntilItIsOut) {
  Connected connected;
  connected.wrap = LateStream::over;
  connected.run(serve_structured, [](Connection& connection) -> Task<void> {
    const Bytes payload(4096);
    for (int i = 0; i < 200; ++i) {
      Asked asked(connection);
      asked.ask(connection.write(0, payload, false));
      asked.ask(connection.flush());
      asked.ask(connection.trim(0, 512, false));
      co_await asked.join();
      for (std::size_t n = 0; n < 3; ++n) EXPECT_FALSE(asked.answer(n).is_lost);
    }
  });
  EXPECT_EQ(connected.lost_reason, "");
}

}  // namespace
}  // namespace nbdring
