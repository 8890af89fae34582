// What a connection does with a server that keeps the rules; nbd/connection_loss_test.cpp has the
// others.
#include "backends/nbd/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/connected.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;
using testing::ElementsAre;

constexpr TransmissionOptions structured{true, true};
constexpr TransmissionOptions extended{false, true, true};

// Serves READs of the pattern and says yes to everything else, until DISC.
void serve_simply(ServerEnd& server) {
  for (SeenRequest seen = server.request(); seen.command != nbd::cmd_disc;
       seen = server.request()) {
    Bytes data;
    if (seen.command == nbd::cmd_read) data = pattern(1, seen.offset, seen.length);
    server.send(simple_reply(seen.cookie, 0, data));
  }
}

TEST(Connection, SendsEachCommandAsItIsAsked) {
  std::vector<SeenRequest> seen;
  Connected connected;
  connected.transmission = structured;
  const Bytes payload = pattern(3, 0, 1024);
  const auto script = [&](ServerEnd& server) {
    for (;;) {
      seen.push_back(server.request());
      const SeenRequest& request = seen.back();
      if (request.command == nbd::cmd_disc) return;
      const Chunks chunks;
      if (request.command == nbd::cmd_block_status) {
        server.send(chunks.status(request.cookie, test_context, {{4096, 3}, {8192, 0}}));
      } else {
        server.send(chunks.none(request.cookie));
      }
    }
  };
  connected.run(script, [&](Connection& connection) -> Task<void> {
    ZeroMode mode;
    mode.no_hole = mode.fast_zero = true;
    std::array<nbd::Extent, 4> room{};
    ExtentList list{room, 0};
    std::array<nbd::Extent, 1> one{};
    ExtentList first{one, 0};
    Answer answer = co_await connection.write(4096, payload, true);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    answer = co_await connection.flush();
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    answer = co_await connection.trim(512, 1024, false);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    answer = co_await connection.write_zeroes(1024, 2048, mode);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    answer = co_await connection.extents(0, 8192, list);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    EXPECT_EQ(list.used, 2U);
    EXPECT_EQ(room[0].length, 4096U);
    EXPECT_EQ(room[0].flags, 3U);
    EXPECT_EQ(room[1].length, 4096U) << "what reaches beyond the request is cut";
    static_cast<void>(first);
  });
  ASSERT_EQ(seen.size(), 6U);
  EXPECT_EQ(seen[0].command, nbd::cmd_write);
  EXPECT_EQ(seen[0].flags, nbd::cmd_flag_fua);
  EXPECT_EQ(seen[0].offset, 4096U);
  EXPECT_EQ(seen[0].payload, payload);
  EXPECT_EQ(seen[1].command, nbd::cmd_flush);
  EXPECT_EQ(seen[1].offset + seen[1].length, 0U);
  EXPECT_EQ(seen[2].command, nbd::cmd_trim);
  EXPECT_EQ(seen[2].length, 1024U);
  EXPECT_EQ(seen[3].command, nbd::cmd_write_zeroes);
  EXPECT_EQ(seen[3].flags, nbd::cmd_flag_no_hole | nbd::cmd_flag_fast_zero);
  EXPECT_EQ(seen[4].command, nbd::cmd_block_status);
  EXPECT_EQ(seen[5].command, nbd::cmd_disc);
  EXPECT_FALSE(seen[5].is_end) << "the goodbye came as a message";
  EXPECT_EQ(connected.fence, Connection::Fence::closed);
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(Connection, OneExtentIsAskedForWhereThereIsRoomForOne) {
  std::uint16_t flags = 0;
  Connected connected;
  connected.transmission = structured;
  const auto script = [&](ServerEnd& server) {
    const SeenRequest seen = server.request();
    flags = seen.flags;
    server.send(Chunks().status(seen.cookie, test_context, {{4096, 1}}));
    server.request();
  };
  connected.run(script, [&](Connection& connection) -> Task<void> {
    std::array<nbd::Extent, 1> room{};
    ExtentList list{room, 0};
    const Answer answer = co_await connection.extents(0, 8192, list);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    EXPECT_EQ(list.used, 1U);
  });
  EXPECT_EQ(flags, nbd::cmd_flag_req_one);
}

TEST(Connection, RepliesComeInAnyOrder) {
  Connected connected;
  const auto script = [](ServerEnd& server) {
    std::vector<SeenRequest> seen;
    for (int i = 0; i < 5; ++i) seen.push_back(server.request());
    for (const int i : {3, 0, 4, 2, 1}) {
      server.send(simple_reply(seen[i].cookie, 0, pattern(1, seen[i].offset, seen[i].length)));
    }
    server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    std::vector<Bytes> buffers(5, Bytes(8192));
    for (std::size_t i = 0; i < 5; ++i) asked.ask(connection.read(i * 8192, buffers[i]));
    co_await asked.join();
    EXPECT_THAT(asked.order(), ElementsAre(3, 0, 4, 2, 1));
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(matches_pattern(buffers[i], 1, i * 8192)) << i;
    }
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(Connection, ChunksOfTwoRequestsMayBeMixed) {
  Connected connected;
  connected.transmission = structured;
  const auto script = [](ServerEnd& server) {
    const SeenRequest one = server.request();
    const SeenRequest two = server.request();
    const Chunks chunks;
    server.send(chunks.data(one.cookie, 4096, pattern(1, 4096, 4096), false) +
                chunks.data(two.cookie, 65536, pattern(1, 65536, 1000), false) +
                chunks.data(one.cookie, 0, pattern(1, 0, 4096), false) +
                chunks.hole(two.cookie, 65536 + 1000, 7192) + chunks.none(one.cookie));
    server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    Bytes one(8192);
    Bytes two(8192, std::byte{0xff});
    asked.ask(connection.read(0, one));
    asked.ask(connection.read(65536, two));
    co_await asked.join();
    EXPECT_THAT(asked.order(), ElementsAre(1, 0));
    EXPECT_TRUE(matches_pattern(one, 1, 0));
    EXPECT_TRUE(matches_pattern(std::span(two).first(1000), 1, 65536));
    EXPECT_TRUE(matches_pattern(std::span(two).subspan(1000), 0, 0));
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(Connection, RepliesInPiecesOfEverySize) {
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 15U, 16U, 17U, 100U, 4095U}) {
    Connected connected;
    const auto script = [piece](ServerEnd& server) {
      Bytes bytes;
      for (int i = 0; i < 3; ++i) {
        const SeenRequest seen = server.request();
        bytes = bytes + simple_reply(seen.cookie, 0, pattern(1, seen.offset, seen.length));
      }
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        const std::size_t count = std::min(piece, bytes.size() - at);
        server.send(Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                          bytes.begin() + static_cast<std::ptrdiff_t>(at + count)));
      }
      server.request();
    };
    connected.run(script, [](Connection& connection) -> Task<void> {
      Asked asked(connection);
      std::vector<Bytes> buffers(3, Bytes(1000));
      for (std::size_t i = 0; i < 3; ++i) asked.ask(connection.read(i * 1000, buffers[i]));
      co_await asked.join();
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_FALSE(asked.answer(i).is_lost);
        EXPECT_TRUE(matches_pattern(buffers[i], 1, i * 1000)) << i;
      }
    });
    EXPECT_EQ(connected.lost_reason, "") << piece;
  }
}

TEST(Connection, ErrorsAreAnswers) {
  const std::vector<std::pair<std::uint32_t, int>> errors{
      {nbd::eperm, EPERM},   {nbd::eio, EIO},         {nbd::enomem, ENOMEM}, {nbd::einval, EINVAL},
      {nbd::enospc, ENOSPC}, {nbd::enotsup, ENOTSUP}, {4711, EINVAL}};
  for (const auto& pair : errors) {
    const std::uint32_t wire = pair.first;
    const int expected = pair.second;
    for (const bool chunk : {false, true}) {
      Connected connected;
      connected.transmission.structured_replies = chunk;
      const auto script = [&](ServerEnd& server) {
        const SeenRequest seen = server.request();
        server.send(chunk ? Chunks().error(seen.cookie, wire, pattern(1, 0, 20))
                          : simple_reply(seen.cookie, wire));
        serve_simply(server);
      };
      connected.run(script, [&](Connection& connection) -> Task<void> {
        Bytes buffer(512);
        const Answer answer = co_await connection.read(0, buffer);
        EXPECT_FALSE(answer.is_lost);
        EXPECT_EQ(answer.status.error(), expected);
        const Answer next = co_await connection.flush();
        EXPECT_TRUE(!next.is_lost && next.status.is_ok()) << "the stream is still in step";
      });
    }
  }
}

TEST(Connection, MoreThanFitWaitInTheirOrder) {
  Connected connected;
  connected.options.requests_max = 4;
  std::vector<std::uint64_t> offsets;
  const auto script = [&](ServerEnd& server) {
    for (int i = 0; i < 100; ++i) {
      const SeenRequest seen = server.request();
      offsets.push_back(seen.offset);
      server.send(simple_reply(seen.cookie));
    }
    server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    const Bytes payload(512);
    for (std::size_t i = 0; i < 100; ++i) asked.ask(connection.write(i * 512, payload, false));
    EXPECT_EQ(connection.in_flight(), 100U);
    co_await asked.join();
    EXPECT_EQ(connection.in_flight(), 0U);
  });
  ASSERT_EQ(offsets.size(), 100U);
  EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
}

TEST(Connection, ExtendedHeadersHave64BitsForLengths) {
  std::vector<SeenRequest> seen;
  Connected connected;
  connected.transmission = extended;
  const auto script = [&](ServerEnd& server) {
    Chunks chunks;
    chunks.extended = true;
    for (int i = 0; i < 4; ++i) {
      seen.push_back(server.request());
      const SeenRequest& request = seen.back();
      chunks.offset = request.offset;
      if (request.command == nbd::cmd_read) {
        server.send(chunks.data(request.cookie, request.offset, pattern(1, request.offset, 4096)));
      } else if (request.command == nbd::cmd_block_status) {
        server.send(chunks.status(request.cookie, test_context, {{1ULL << 40, 3}}));
      } else {
        server.send(chunks.none(request.cookie));
      }
    }
    server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Bytes buffer(4096);
    Answer answer = co_await connection.read(8192, buffer);
    EXPECT_FALSE(answer.is_lost);
    EXPECT_TRUE(matches_pattern(buffer, 1, 8192));
    answer = co_await connection.write(0, buffer, false);
    EXPECT_FALSE(answer.is_lost);
    answer = co_await connection.trim(0, 1ULL << 40, false);
    EXPECT_FALSE(answer.is_lost);
    std::array<nbd::Extent, 4> room{};
    ExtentList list{room, 0};
    answer = co_await connection.extents(0, 1ULL << 33, list);
    EXPECT_FALSE(answer.is_lost);
    EXPECT_EQ(list.used, 1U);
    EXPECT_EQ(room[0].length % 65536, 0U);
    EXPECT_GT(room[0].length, 0x80000000U);
  });
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[1].flags, nbd::cmd_flag_payload_len);
  EXPECT_EQ(seen[2].length, 1ULL << 40);
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(Connection, ManyRequestsOfEverySize) {
  Connected connected;
  connected.options.requests_max = 16;
  connected.run(serve_simply, [](Connection& connection) -> Task<void> {
    Random random(5);
    for (int round = 0; round < 30; ++round) {
      Asked asked(connection);
      std::vector<Bytes> buffers;
      std::vector<std::uint64_t> offsets;
      buffers.reserve(40);
      for (int i = 0; i < 40; ++i) {
        const std::size_t size = std::size_t{512} << random.below(10);
        offsets.push_back(random.below(64) * 4096);
        buffers.emplace_back(size);
        if (random.percent(50)) {
          asked.ask(connection.read(offsets.back(), buffers.back()));
        } else {
          asked.ask(connection.write(offsets.back(), buffers.back(), false));
          offsets.back() = UINT64_MAX;
        }
      }
      co_await asked.join();
      for (std::size_t i = 0; i < buffers.size(); ++i) {
        EXPECT_TRUE(!asked.answer(i).is_lost && asked.answer(i).status.is_ok());
        if (offsets[i] != UINT64_MAX) {
          EXPECT_TRUE(matches_pattern(buffers[i], 1, offsets[i]));
        }
      }
    }
  });
  EXPECT_EQ(connected.lost_reason, "");
}

}  // namespace
}  // namespace nbdring
