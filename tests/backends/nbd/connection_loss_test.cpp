// What a connection does when the server goes away, stalls, or breaks the rules: every request is
// answered as lost, once, and nothing later touches a caller's buffer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "tests/support/connected.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;
using std::chrono::milliseconds;
using testing::HasSubstr;
using Fence = Connection::Fence;

constexpr TransmissionOptions structured{true, true};

Task<void> one_read(Connection& connection) {
  Bytes buffer(4096);
  const Answer answer = co_await connection.read(0, buffer);
  EXPECT_TRUE(answer.is_lost);
  EXPECT_TRUE(connection.is_lost());
  const Answer later = co_await connection.flush();
  EXPECT_TRUE(later.is_lost) << "a lost connection stays lost";
  EXPECT_EQ(connection.in_flight(), 0U);
}

Task<void> until_lost(Connection& connection) { co_await connection.wait_lost(); }

// What a bad server answers to one READ of 4096 bytes at 0.
struct Misdeed {
  const char* name;
  bool structured;
  std::function<Bytes(std::uint64_t cookie)> reply;
  const char* reason;
};

std::vector<Misdeed> misdeeds() {
  const Chunks c;
  const Bytes data = pattern(1, 0, 4096);
  const Bytes half = pattern(1, 0, 2048);
  return {
      {"unknown cookie", false, [=](auto k) { return simple_reply(k + 1, 0, data); }, "no request"},
      {"structured, not agreed on", false, [=](auto k) { return c.data(k, 0, data); },
       "not agreed"},
      {"simple to a READ", true, [=](auto k) { return simple_reply(k, 0, data); }, "simple reply"},
      {"missing bytes", true, [=](auto k) { return c.none(k); }, "without all bytes"},
      {"half", true, [=](auto k) { return c.data(k, 0, half); }, "without all bytes"},
      {"twice", true, [=](auto k) { return c.data(k, 0, half, false) + c.data(k, 1, half); },
       "twice"},
      {"outside", true, [=](auto k) { return c.data(k, 4096, half); }, "outside"},
      {"wrapping", true, [=](auto k) { return c.data(k, UINT64_MAX - 100, half); }, "outside"},
      {"too long", true, [=](auto k) { return c.raw(k, 1, 1, {}, 0xffffffff); }, "wrong length"},
      {"hole of nothing", true, [=](auto k) { return c.hole(k, 0, 0); }, "no bytes"},
      {"hole beyond", true, [=](auto k) { return c.hole(k, 0, 8192); }, "outside"},
      {"no error", true, [=](auto k) { return c.error(k, 0); }, "without an error"},
      {"unknown type", true, [=](auto k) { return c.chunk(k, 1, 99, {}); }, "unknown type"},
      {"extents", true,
       [=](auto k) {
         return c.status(k, test_context, {{1, 1}});
       },
       "extents in"},
  };
}

TEST(ConnectionLoss, MisdeedsEndItAndAreNamed) {
  for (const Misdeed& misdeed : misdeeds()) {
    Connected connected;
    if (misdeed.structured) connected.transmission = structured;
    const auto script = [&](ServerEnd& server) {
      server.send(misdeed.reply(server.request().cookie));
      while (!server.request().is_end) continue;
    };
    connected.run(script, one_read);
    EXPECT_TRUE(connected.was_misled) << misdeed.name;
    EXPECT_THAT(connected.lost_reason, HasSubstr(misdeed.reason)) << misdeed.name;
    EXPECT_EQ(connected.fence, Fence::closed) << misdeed.name << ": it closed after the goodbye";
  }
}

TEST(ConnectionLoss, ASecondReplyIsAMisdeed) {
  Connected connected;
  const auto script = [&](ServerEnd& server) {
    const SeenRequest seen = server.request();
    server.send(simple_reply(seen.cookie));
    server.request();
    server.send(simple_reply(seen.cookie));
    while (!server.request().is_end) continue;
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    const Answer first = co_await connection.flush();
    EXPECT_FALSE(first.is_lost);
    const Answer second = co_await connection.flush();
    EXPECT_TRUE(second.is_lost) << "in the same slot, under another cookie";
  });
  EXPECT_TRUE(connected.was_misled);
}

TEST(ConnectionLoss, AReplyBeforeTheRequestIsAMisdeed) {
  Connected connected;
  const auto script = [&](ServerEnd& server) {
    server.send(simple_reply(0) + simple_reply(1));
    while (!server.request().is_end) continue;
  };
  connected.run(script, until_lost);
  EXPECT_TRUE(connected.was_misled);
}

TEST(ConnectionLoss, TheServerGoesAwayAtEveryByteOfAReply) {
  const Chunks c;
  for (const bool chunks : {false, true}) {
    std::size_t whole = 1;
    for (std::size_t cut = 0; cut < whole; ++cut) {
      Connected connected;
      if (chunks) connected.transmission = structured;
      const auto script = [&](ServerEnd& server) {
        const SeenRequest seen = server.request();
        const Bytes data = pattern(1, 0, 64);
        const Bytes bytes =
            chunks ? c.data(seen.cookie, 0, data) : simple_reply(seen.cookie, 0, data);
        whole = bytes.size();
        server.send(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut)));
      };
      connected.run(script, [](Connection& connection) -> Task<void> {
        Bytes buffer(64);
        const Answer answer = co_await connection.read(0, buffer);
        EXPECT_TRUE(answer.is_lost);
      });
      EXPECT_FALSE(connected.was_misled) << cut;
      EXPECT_EQ(connected.fence, Fence::closed) << cut;
      EXPECT_THAT(connected.lost_reason, HasSubstr("closed the connection"));
      if (cut > 0) {
        EXPECT_THAT(connected.lost_reason, HasSubstr("middle"));
      }
    }
  }
}

TEST(ConnectionLoss, AllInFlightAndAllThatWaitAreLost) {
  Connected connected;
  connected.options.requests_max = 4;
  const auto script = [](ServerEnd& server) {
    for (int i = 0; i < 4; ++i) server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    Bytes buffer(512);
    for (int i = 0; i < 10; ++i) asked.ask(connection.read(0, buffer));
    co_await asked.join();
    for (std::size_t i = 0; i < 10; ++i) EXPECT_TRUE(asked.answer(i).is_lost) << i;
  });
}

TEST(ConnectionLoss, ResetWithUnreadRequestsOfALocalServerIsItsEnd) {
  Connected connected;
  const auto script = [](ServerEnd& server) { server.request(); };  // leaves a WRITE unread
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    const Bytes payload(100'000);
    asked.ask(connection.flush());
    asked.ask(connection.write(0, payload, false));
    co_await asked.join();
    EXPECT_TRUE(asked.answer(0).is_lost && asked.answer(1).is_lost);
  });
  EXPECT_EQ(connected.fence, Fence::closed) << connected.lost_reason;
}

TEST(ConnectionLoss, ShuttingDownIsNoAnswer) {
  for (const bool chunks : {false, true}) {
    Connected connected;
    connected.transmission.structured_replies = chunks;
    const auto script = [chunks](ServerEnd& server) {
      const SeenRequest seen = server.request();
      server.send(chunks ? Chunks().error(seen.cookie, nbd::eshutdown)
                         : simple_reply(seen.cookie, nbd::eshutdown));
      while (!server.request().is_end) continue;
    };
    connected.run(script, one_read);
    EXPECT_FALSE(connected.was_misled);
    EXPECT_THAT(connected.lost_reason, HasSubstr("shutting down"));
  }
}

TEST(ConnectionLoss, AServerThatDoesNotAnswerIsLeftInTime) {
  Connected connected;
  connected.options.request_deadline = milliseconds(200);
  connected.end_deadline = milliseconds(100);
  const auto begin = Clock::now();
  const auto script = [](ServerEnd& server) {
    server.request();
    EXPECT_FALSE(server.request().is_end) << "the goodbye still came";
    EXPECT_TRUE(server.reads_end());
  };
  connected.run(script, one_read);
  const auto took = Clock::now() - begin;
  EXPECT_GE(took, milliseconds(200));
  EXPECT_LT(took, milliseconds(2000));
  EXPECT_THAT(connected.lost_reason, HasSubstr("no answer for 200 ms"));
  EXPECT_FALSE(connected.was_misled);
  EXPECT_EQ(connected.fence, Fence::closed) << "it closed when our side had ended";
}

TEST(ConnectionLoss, AServerThatNeverClosesLeavesTheFenceUnknown) {
  Connected connected;
  connected.options.request_deadline = milliseconds(100);
  connected.end_deadline = milliseconds(100);
  SocketPair sockets;
  connected.run_on(std::move(sockets.near), one_read);
  EXPECT_EQ(connected.fence, Fence::unknown);
}

TEST(ConnectionLoss, DripsAreNoProgressForOthersForEver) {
  Connected connected;
  connected.options.request_deadline = milliseconds(160);
  const auto script = [](ServerEnd& server) {
    const SeenRequest first = server.request();
    server.request();  // never answered
    Bytes bytes = simple_reply(first.cookie, 0, pattern(1, 0, 100'000));
    for (const std::byte byte : bytes) {
      server.send({byte});
      std::this_thread::sleep_for(milliseconds(5));
      pollfd set{server.fd(), POLLIN, 0};
      if (::poll(&set, 1, 0) > 0) break;  // the client has ended it
    }
    while (!server.request().is_end) continue;
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    Bytes buffer(100'000);
    asked.ask(connection.read(0, buffer));
    asked.ask(connection.flush());
    co_await asked.join();
    EXPECT_TRUE(asked.answer(0).is_lost && asked.answer(1).is_lost);
  });
  EXPECT_THAT(connected.lost_reason, HasSubstr("no answer"));
}

TEST(ConnectionLoss, ASlowServerThatMovesIsWaitedFor) {
  Connected connected;
  connected.options.request_deadline = milliseconds(400);
  const auto script = [](ServerEnd& server) {
    std::vector<SeenRequest> seen;
    for (int i = 0; i < 8; ++i) seen.push_back(server.request());
    for (const SeenRequest& request : seen) {  // 2 s in all, the last one waits for most of it
      const Bytes bytes = simple_reply(request.cookie, 0, Bytes(1 << 20));
      for (std::size_t at = 0; at < bytes.size(); at += 1 << 17) {
        const std::size_t end = std::min<std::size_t>(bytes.size(), at + (1 << 17));
        server.send(Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                          bytes.begin() + static_cast<std::ptrdiff_t>(end)));
        std::this_thread::sleep_for(milliseconds(30));
      }
    }
    server.request();
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    Asked asked(connection);
    std::vector<Bytes> buffers(8, Bytes(1 << 20));
    for (Bytes& buffer : buffers) asked.ask(connection.read(0, buffer));
    co_await asked.join();
    for (std::size_t i = 0; i < 8; ++i) EXPECT_FALSE(asked.answer(i).is_lost) << i;
  });
  EXPECT_EQ(connected.lost_reason, "");
}

TEST(ConnectionLoss, EndLosesWhatIsInFlightAndTouchesNoBufferAfterwards) {
  Connected connected;
  const auto script = [](ServerEnd& server) {
    SeenRequest seen = server.request();
    while (server.request().command != nbd::cmd_disc) continue;
    server.send(simple_reply(seen.cookie, 0, Bytes(4096, std::byte{0xee})));
  };
  static Bytes buffer;
  buffer.assign(4096, std::byte{0x11});
  static Answer late;
  late = Answer::of(Status::ok());
  const auto keep = [](Connection& connection) -> Task<void> {
    const Answer answer = co_await connection.read(0, buffer);
    late = answer;
  };
  std::unique_ptr<Scope> scope;
  connected.run(script, [&](Connection& connection) -> Task<void> {
    scope = std::make_unique<Scope>(connection.frames());
    scope->spawn(keep(connection));
    co_return;
  });
  EXPECT_TRUE(late.is_lost);
  EXPECT_EQ(connected.fence, Fence::closed) << "the server finished and closed";
  for (const std::byte byte : buffer) ASSERT_EQ(byte, std::byte{0x11});
}

TEST(ConnectionLoss, NoGoodbyeInTheMiddleOfAWrite) {
  Connected connected;
  connected.options.request_deadline = milliseconds(100);
  connected.end_deadline = milliseconds(2000);
  const auto script = [](ServerEnd& server) {
    std::this_thread::sleep_for(milliseconds(400));  // the socket is full, the client gives up
    const SeenRequest seen = server.request();
    EXPECT_EQ(seen.command, nbd::cmd_write);
    EXPECT_TRUE(seen.is_end) << "the payload is cut, and nothing stands in its place";
  };
  connected.run(script, [](Connection& connection) -> Task<void> {
    const Bytes payload(8 << 20);
    const Answer answer = co_await connection.write(0, payload, false);
    EXPECT_TRUE(answer.is_lost);
  });
  EXPECT_EQ(connected.fence, Fence::closed);
}

TEST(ConnectionLoss, ATcpConnectionIsResetWhenItsEndDoesNotCome) {
  FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener.get(), generic, length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &length), 0);
  FileDescriptor near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(near.get(), generic, length), 0);
  FileDescriptor far(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));

  Connected connected;
  connected.options.request_deadline = milliseconds(100);
  connected.end_deadline = milliseconds(100);
  connected.run_on(std::move(near), [](Connection& connection) -> Task<void> {
    const Bytes payload(32 << 20);  // more than the sockets hold
    const Answer answer = co_await connection.write(0, payload, false);
    EXPECT_TRUE(answer.is_lost);
  });
  EXPECT_EQ(connected.fence, Fence::unknown);
  // What had arrived can be read; what was queued on our side never comes: then there is a reset.
  Bytes sink(1 << 20);
  ssize_t got = 1;
  std::size_t total = 0;
  while (got > 0) {
    got = ::recv(far.get(), sink.data(), sink.size(), 0);
    if (got > 0) total += static_cast<std::size_t>(got);
  }
  EXPECT_EQ(got, -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_LT(total, std::size_t{32} << 20);
}

TEST(ConnectionLoss, WhoWaitsForTheLossIsTold) {
  Connected connected;
  connected.run([](ServerEnd&) {},
                [](Connection& connection) -> Task<void> {
                  co_await connection.wait_lost();
                  EXPECT_TRUE(connection.is_lost());
                  co_await connection.wait_lost();  // again, at once
                });
  EXPECT_THAT(connected.lost_reason, HasSubstr("closed the connection"));
}

}  // namespace
}  // namespace nbdring
