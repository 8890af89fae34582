// READs whose data is not received but passed on by reference: when it is, when it is not, and what
// is left where it ends in the middle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "tests/support/connected.hpp"
#include "tests/support/late_stream.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/tcp_pair.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;
using std::chrono::milliseconds;

constexpr TransmissionOptions structured{true, true};
constexpr std::size_t length = 128 * 1024;

Bytes contents_of(const SeenRequest& seen) { return pattern(1, seen.offset, seen.length); }

void serve_reads(ServerEnd& server, bool in_chunks) {
  for (SeenRequest seen = server.request(); !seen.is_end && seen.command != nbd::cmd_disc;
       seen = server.request()) {
    const bool is_read = seen.command == nbd::cmd_read;
    const Bytes data = is_read ? contents_of(seen) : Bytes();
    const Bytes chunk = is_read ? Chunks().data(seen.cookie, seen.offset, data) : Bytes();
    server.send(is_read && in_chunks ? chunk : simple_reply(seen.cookie, 0, data));
  }
}

// As a lane does: what is in the pipe is taken out before anything else is awaited.
Task<Answer> read(Connection& connection, std::uint64_t offset, std::size_t bytes, bool& in_pipe) {
  Bytes data(bytes);
  Arrival arrival;
  const Answer answer = co_await connection.read(offset, data, &arrival);
  in_pipe = arrival.pipe != nullptr;
  if (in_pipe) {
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    EXPECT_EQ(arrival.pipe->size(), bytes);
    EXPECT_TRUE(matches_pattern(data, 0, 0)) << "the buffer has not been touched";
    arrival.pipe->copy_to(data);
  }
  if (!answer.is_lost && answer.status.is_ok()) {
    EXPECT_TRUE(matches_pattern(data, 1, offset)) << offset;
  }
  co_return answer;
}

Task<void> expect_read(Connection& connection, std::uint64_t offset, std::size_t bytes,
                       bool expect_in_pipe) {
  bool in_pipe = !expect_in_pipe;
  const Answer answer = co_await read(connection, offset, bytes, in_pipe);
  EXPECT_TRUE(!answer.is_lost && answer.status.is_ok()) << offset;
  EXPECT_EQ(in_pipe, expect_in_pipe) << offset;
}

TEST(ConnectionPages, WholeReadsComeInThePipe) {
  for (const bool in_chunks : {false, true}) {
    Connected connected;
    connected.transmission = in_chunks ? structured : TransmissionOptions();
    const auto script = [=](ServerEnd& server) { serve_reads(server, in_chunks); };
    connected.run(script, [](Connection& connection) -> Task<void> {
      co_await expect_read(connection, 0, length, true);
      co_await expect_read(connection, 4097, length + 13, true);
      Bytes buffer(length);
      const Answer answer = co_await connection.read(length, buffer);
      EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
      EXPECT_TRUE(matches_pattern(buffer, 1, length)) << "asked for in the buffer";
      co_await expect_read(connection, 5, length, true);
    });
    EXPECT_EQ(connected.lost_reason, "");
  }
}

TEST(ConnectionPages, ManyAtOnceAmongOthers) {
  Connected connected;
  const auto script = [](ServerEnd& server) { serve_reads(server, true); };
  connected.transmission = structured;
  int by_reference = 0;
  connected.run(script, [&](Connection& connection) -> Task<void> {
    const Bytes payload(100'000);
    std::vector<Bytes> small(48, Bytes(4096));
    std::array<bool, 48> in_pipe{};
    for (int round = 0; round < 10; ++round) {
      Asked asked(connection);
      for (std::size_t i = 0; i < small.size(); ++i) {
        const std::uint64_t offset = i * 777'777;
        asked.ask(connection.read(offset, small[i]));
        if (i % 8 == 0) asked.ask(connection.write(offset, payload, false));
        // Its beginning may come along with small replies: then it is copied.
        if (i % 3 == 0) asked.ask(read(connection, offset, length, in_pipe[i]));
      }
      co_await asked.join();
      for (std::size_t i = 0; i < small.size(); ++i) {
        EXPECT_TRUE(matches_pattern(small[i], 1, i * 777'777));
        by_reference += in_pipe[i] ? 1 : 0;
      }
    }
  });
  EXPECT_EQ(connected.lost_reason, "");
  EXPECT_GT(by_reference, 0);
}

// What a server answers to one READ of `length` at 0, in one piece.
struct Reply {
  const char* name;
  std::function<Bytes(std::uint64_t cookie)> bytes;
  int error;
};

TEST(ConnectionPages, WhatIsNotOneWholeAnswerComesInTheBuffer) {
  const Chunks c;
  const Bytes data = pattern(1, 0, length);
  const Bytes first = pattern(1, 0, 512);
  const Bytes second = pattern(1, 512, length - 512);
  const std::vector<Reply> replies{
      {"two chunks", [=](auto k) { return c.data(k, 0, first, false) + c.data(k, 512, second); },
       0},
      {"ended by a chunk of its own", [=](auto k) { return c.data(k, 0, data, false) + c.none(k); },
       0},
      {"an error behind the data",
       [=](auto k) { return c.data(k, 0, data, false) + c.error(k, nbd::eio); }, EIO},
      {"an error before the data",
       [=](auto k) { return c.error(k, nbd::eio, {}, false) + c.data(k, 0, data); }, EIO},
      {"an error and no data", [=](auto k) { return c.error(k, nbd::enospc); }, ENOSPC},
  };
  for (const Reply& reply : replies) {
    Connected connected;
    connected.transmission = structured;
    const auto script = [&](ServerEnd& server) {
      server.send(reply.bytes(server.request().cookie));
      serve_reads(server, true);
    };
    connected.run(script, [&](Connection& connection) -> Task<void> {
      bool in_pipe = true;
      const Answer answer = co_await read(connection, 0, length, in_pipe);
      EXPECT_FALSE(answer.is_lost) << reply.name;
      EXPECT_EQ(answer.status.error(), reply.error) << reply.name;
      EXPECT_FALSE(in_pipe) << reply.name;
      co_await expect_read(connection, 0, length, true);
    });
    EXPECT_EQ(connected.lost_reason, "") << reply.name;
  }
}

// A large reply behind small ones: with a small average, more is read ahead than a header.
TEST(ConnectionPages, WhatWasReadAheadInPartComesInTheBuffer) {
  Connected connected;
  const auto script = [](ServerEnd& server) {
    Bytes replies;
    for (int i = 0; i < 17; ++i) {
      const SeenRequest seen = server.request();
      replies = replies + simple_reply(seen.cookie, 0, contents_of(seen));
    }
    server.send(replies);
    serve_reads(server, false);
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Bytes small(512);
    bool in_pipe = true;
    Asked asked(connection);
    for (int i = 0; i < 16; ++i) asked.ask(connection.read(0, small));
    asked.ask(read(connection, 4096, length, in_pipe));
    co_await asked.join();
    EXPECT_FALSE(asked.answer(16).is_lost);
    EXPECT_FALSE(in_pipe);
    co_await expect_read(connection, 0, length, true);
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(ConnectionPages, AConnectionThatEndsInTheMiddleIsLostAndNothingArrives) {
  for (const std::size_t cut : {0UL, 7UL, 16UL, 17UL, 5000UL, length, length + 15}) {
    Connected connected;
    const auto script = [=](ServerEnd& server) {
      const SeenRequest seen = server.request();
      Bytes reply = simple_reply(seen.cookie, 0, contents_of(seen));
      reply.resize(cut);
      server.send(reply);
      server.close();
    };
    connected.run(script, [](Connection& connection) -> Task<void> {
      bool in_pipe = true;
      Asked asked(connection);
      asked.ask(read(connection, 0, length, in_pipe));
      co_await asked.join();
      EXPECT_TRUE(asked.answer(0).is_lost);
      EXPECT_FALSE(in_pipe);
    });
    EXPECT_NE(connected.lost_reason, "") << cut;
  }
}

TEST(ConnectionPages, ManySmallPiecesFillThePipeAndAreCopied) {
  Connected connected;
  const auto script = [](ServerEnd& server) {
    const SeenRequest seen = server.request();
    const Bytes reply = simple_reply(seen.cookie, 0, contents_of(seen));
    for (std::size_t at = 0; at < reply.size(); at += 128) {
      const auto end = std::min(at + 128, reply.size());
      server.send(Bytes(reply.begin() + static_cast<std::ptrdiff_t>(at),
                        reply.begin() + static_cast<std::ptrdiff_t>(end)));
    }
    serve_reads(server, false);
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    co_await expect_read(connection, 0, length, false);
    co_await expect_read(connection, 7, length, false);  // not even tried
    co_await expect_read(connection, 9, 20'000, true);
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(ConnectionPages, WhatArrivesIsProgress) {
  Connected connected;
  connected.options.request_deadline = milliseconds(400);
  const auto script = [](ServerEnd& server) {
    const SeenRequest seen = server.request();
    const Bytes reply = simple_reply(seen.cookie, 0, contents_of(seen));
    const auto piece = static_cast<std::ptrdiff_t>(reply.size() / 10);
    for (int i = 0; i < 10; ++i) {
      const auto end = i == 9 ? reply.end() : reply.begin() + (i + 1) * piece;
      server.send(Bytes(reply.begin() + i * piece, end));
      std::this_thread::sleep_for(milliseconds(100));
    }
    serve_reads(server, false);
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    co_await expect_read(connection, 0, length, true);
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(ConnectionPages, WhatStopsInTheMiddleIsLost) {
  Connected connected;
  connected.options.request_deadline = milliseconds(100);
  const auto script = [](ServerEnd& server) {
    const SeenRequest seen = server.request();
    Bytes reply = simple_reply(seen.cookie, 0, contents_of(seen));
    reply.resize(length / 2);
    server.send(reply);
    while (!server.request().is_end) continue;
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    bool in_pipe = true;
    const Answer answer = co_await read(connection, 0, length, in_pipe);
    EXPECT_TRUE(answer.is_lost);
    EXPECT_FALSE(in_pipe);
  });
  EXPECT_THAT(connected.lost_reason, testing::HasSubstr("no answer"));
}

// TCP's urgent byte stops what goes by reference, and would for ever: it is said to be there, and
// cannot be had. A copying receive skips it.
TEST(ConnectionPages, AnUrgentByteInTheMiddleIsNotWaitedFor) {
  Connected connected;
  SocketPair sockets = tcp_pair();
  const auto script = [](ServerEnd& server) {
    const SeenRequest seen = server.request();
    const Bytes data = contents_of(seen);
    const auto middle = data.begin() + length / 2;
    server.send(simple_reply(seen.cookie, 0, Bytes(data.begin(), middle)));
    const std::byte urgent{0xff};
    EXPECT_EQ(::send(server.fd(), &urgent, 1, MSG_OOB), 1);
    server.send(Bytes(middle, data.end()));
    serve_reads(server, false);
  };
  const ScriptedServer server(std::move(sockets.far), script);
  connected.run_on(std::move(sockets.near), [](Connection& connection) -> Task<void> {
    bool in_pipe = true;
    const Answer answer = co_await read(connection, 0, length, in_pipe);
    EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
    EXPECT_FALSE(in_pipe);
    co_await expect_read(connection, 9, length, true);
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(ConnectionPages, AnAnswerThatHasToWaitIsCopied) {
  Connected connected;
  connected.wrap = LateStream::over;
  const auto script = [](ServerEnd& server) { serve_reads(server, false); };
  int copied = 0;
  connected.run(script, [&](Connection& connection) -> Task<void> {
    for (int i = 0; i < 50; ++i) {
      bool in_pipe = false;
      const Answer answer = co_await read(connection, 4096, length, in_pipe);
      EXPECT_TRUE(!answer.is_lost && answer.status.is_ok());
      copied += in_pipe ? 0 : 1;
    }
  });
  EXPECT_GT(copied, 0);
  EXPECT_EQ(connected.lost_reason, "");
}

}  // namespace
}  // namespace nbdring
