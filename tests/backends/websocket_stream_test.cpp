// A websocket as a stream: what control frames, the end and the clock do to it. Its peer speaks
// frames made by hand.

#include "backends/websocket/stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "client/runtime/scope.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/websocket_end.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

WebsocketOptions quick() {
  WebsocketOptions options;
  options.ping_interval = milliseconds(40);
  options.dead_after = milliseconds(120);
  options.close_within = milliseconds(100);
  return options;
}

std::string errno_text(int error) { return "-" + std::to_string(error); }

Task<void> note_readable(Loop&, Stream& stream, bool& woke) {
  co_await stream.readable();
  woke = true;
}

TEST(WebsocketStream, ReceivesPayloadAsIfThereWereNoFrames) {
  WebsocketEnd end;
  WireFrame part;
  part.fin = false;
  part.payload = wire_text("one ");
  end.say(part);
  end.say(9, "between");
  part.opcode = 0;
  part.fin = true;
  part.payload = wire_text("message, ");
  end.say(part);
  end.say(2, "and another");
  EXPECT_EQ(end.receive_text(), "one message, and another");
  EXPECT_EQ(end.receive_text(), errno_text(EAGAIN));
  EXPECT_EQ(end.heard_text(), "10:between ");
}

TEST(WebsocketStream, TakesWhatCameBehindTheHead) {
  WireFrame frame;
  frame.payload = wire_text("early");
  WebsocketEnd end(WebsocketRole::server, {}, wire_frame(frame));
  bool woke = false;
  end.loop.run(note_readable(end.loop, *end.stream, woke));
  EXPECT_TRUE(woke) << "it holds bytes";
  end.say(2, " and late");
  EXPECT_EQ(end.receive_text(), "early and late");
}

TEST(WebsocketStream, IsReadableWhileItHoldsBytes) {
  WebsocketEnd end;
  end.say(2, "0123456789");
  std::array<std::byte, 4> bytes;
  for (const ssize_t expected : {4, 4, 2}) {
    bool woke = false;
    end.loop.run(note_readable(end.loop, *end.stream, woke));
    EXPECT_EQ(end.receive(bytes), expected);
  }
  EXPECT_EQ(end.receive(bytes), -EAGAIN);
}

TEST(WebsocketStream, AFrameOfAServerIsSentFromTheCallersMemoryWithOneCall) {
  WebsocketEnd end;
  const auto header = pattern(1, 0, 28);
  const auto payload = pattern(2, 0, 100'000);
  std::array<iovec, 2> buffers{iovec{const_cast<std::byte*>(header.data()), header.size()},
                               iovec{const_cast<std::byte*>(payload.data()), payload.size()}};
  EXPECT_EQ(end.stream->send(buffers), 100'028);
  EXPECT_EQ(end.lower->sends, 1U);
  const auto frames = end.heard();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].opcode, 2U);
  EXPECT_TRUE(frames[0].fin);
  EXPECT_EQ(frames[0].payload.size(), 100'028U);
  EXPECT_TRUE(matches_pattern(std::span(frames[0].payload).subspan(28), 2, 0));
}

TEST(WebsocketStream, NoMessageIsLongerThanPeersTake) {
  for (const WebsocketRole role : {WebsocketRole::server, WebsocketRole::client}) {
    WebsocketEnd end(role);
    const auto data = pattern(3, 0, 3'000'000);
    std::vector<std::byte> got;
    std::size_t sent = 0;
    while (got.size() < data.size()) {
      const ssize_t result = end.send(std::span(data).subspan(sent));
      if (result > 0) sent += static_cast<std::size_t>(result);
      for (const WireFrame& frame : end.heard()) {
        EXPECT_LE(frame.payload.size(), 128U * 1024);
        EXPECT_TRUE(frame.fin && frame.opcode == 2);
        got.insert(got.end(), frame.payload.begin(), frame.payload.end());
      }
    }
    EXPECT_TRUE(matches_pattern(got, 3, 0));
  }
}

TEST(WebsocketStream, EveryFrameOfAClientHasAKeyOfItsOwn) {
  WebsocketEnd end(WebsocketRole::client);
  std::vector<std::array<std::uint8_t, 4>> keys;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(end.send("the same"), 8);
    for (const WireFrame& frame : end.heard()) keys.push_back(frame.key);
  }
  ASSERT_EQ(keys.size(), 20U);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

TEST(WebsocketStream, ALargeFrameIsReceivedInItsPlace) {
  WebsocketEnd end;
  WireFrame frame;
  frame.payload = pattern(4, 0, 60'000);
  end.say(frame);
  std::vector<std::byte> got(60'000);
  ASSERT_EQ(end.receive(std::span(got).first(10)), 10) << "the frame is known from here on";
  EXPECT_EQ(end.lower->receives, 1U);
  std::size_t have = 10;
  while (have < got.size()) {
    const ssize_t result = end.receive(std::span(got).subspan(have));
    ASSERT_GT(result, 0);
    have += static_cast<std::size_t>(result);
  }
  EXPECT_TRUE(matches_pattern(got, 4, 0));
  EXPECT_LE(end.lower->receives, 3U);
}

// ---- Pings

TEST(WebsocketStream, AnswersTheLatestPingOnceThereIsRoom) {
  for (const WebsocketRole role : {WebsocketRole::server, WebsocketRole::client}) {
    WebsocketEnd end(role);
    const auto data = pattern(5, 0, 2'000'000);
    std::size_t sent = 0;
    ssize_t result = 0;
    while ((result = end.send(std::span(data).subspan(sent))) > 0) {
      sent += static_cast<std::size_t>(result);
    }
    ASSERT_EQ(result, -EAGAIN);
    for (int i = 0; i < 30; ++i) {
      end.say(9, "ping " + std::to_string(i));
      EXPECT_EQ(end.receive_text(), errno_text(EAGAIN));
    }
    std::vector<std::byte> got;
    std::string pongs;
    while (got.size() < data.size()) {
      for (const WireFrame& frame : end.heard()) {
        if (frame.opcode == 2) {
          got.insert(got.end(), frame.payload.begin(), frame.payload.end());
        }
        if (frame.opcode != 10) continue;
        pongs.append(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
      }
      result = end.send(std::span(data).subspan(sent));
      if (result > 0) sent += static_cast<std::size_t>(result);
    }
    EXPECT_TRUE(matches_pattern(got, 5, 0)) << "no control frame fell into a data frame";
    EXPECT_EQ(pongs, "ping 29");
  }
}

TEST(WebsocketStream, AFloodOfPingsEndsItAndCostsNothing) {
  WebsocketEnd end;
  std::string said;
  for (int i = 0; i < 200 && said != errno_text(EPROTO); ++i) {
    end.say(i % 2 == 0 ? 9 : 10, "flood");
    said = end.receive_text();
  }
  EXPECT_EQ(said, errno_text(EPROTO));
  const auto frames = end.heard();
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(wire_frame(frames.back()), wire_close(1008, "too many pings", false));
  EXPECT_EQ(end.endings.size(), 1U);
  EXPECT_EQ(end.send("more"), -EPIPE);
}

TEST(WebsocketStream, PingsAQuietPeerAndLivesWithOneThatAnswers) {
  WebsocketEnd end(WebsocketRole::server, quick());
  int pings = 0;
  for (int i = 0; i < 40; ++i) {
    run_for(end.loop, milliseconds(10));
    for (const WireFrame& frame : end.heard()) {
      ASSERT_EQ(frame.opcode, 9U);
      ++pings;
      end.say(10);
    }
    ASSERT_FALSE(end.stream->ending());
  }
  EXPECT_GE(pings, 3) << "nobody received meanwhile";
  EXPECT_EQ(end.receive_text(), errno_text(EAGAIN));
}

TEST(WebsocketStream, APeerThatStaysSilentIsDeadAndEveryWaitEnds) {
  WebsocketEnd end(WebsocketRole::server, quick());
  const auto began = Clock::now();
  bool woke = false;
  end.loop.run(note_readable(end.loop, *end.stream, woke));
  const auto waited = Clock::now() - began;
  EXPECT_GE(waited, milliseconds(115));
  EXPECT_LT(waited, milliseconds(2000));
  EXPECT_EQ(end.receive_text(), errno_text(ETIMEDOUT));
  EXPECT_EQ(end.heard_text().substr(0, 3), "9: ");
  ASSERT_TRUE(end.stream->ending());
  EXPECT_TRUE(end.stream->ending()->by_peer);
  EXPECT_FALSE(end.stream->ending()->was_clean);
  EXPECT_EQ(end.stream->ending()->code, 1006);
  EXPECT_EQ(end.endings.size(), 1U);
}

TEST(WebsocketStream, APeerThatTakesBytesSlowlyIsAlive) {
  WebsocketEnd end(WebsocketRole::server, quick());
  const auto data = pattern(5, 0, 4'000'000);
  std::size_t sent = 0;
  for (int i = 0; i < 40; ++i) {
    ssize_t result = 0;
    while ((result = end.send(std::span(data).subspan(sent))) > 0) {
      sent += static_cast<std::size_t>(result);
    }
    ASSERT_EQ(result, -EAGAIN);
    run_for(end.loop, milliseconds(10));
    std::vector<std::byte> some(20'000);
    ASSERT_GT(::recv(end.far.get(), some.data(), some.size(), MSG_DONTWAIT), 0);
  }
  EXPECT_FALSE(end.stream->ending());
}

TEST(WebsocketStream, WhatComesWhileNobodyReceivesIsReceivedLater) {
  WebsocketEnd end(WebsocketRole::server, quick());
  std::vector<std::byte> said;
  for (std::size_t i = 0; i < 10; ++i) {
    WireFrame frame;
    frame.payload = pattern(6, said.size(), 5'000);
    said.insert(said.end(), frame.payload.begin(), frame.payload.end());
    end.say(frame);
    run_for(end.loop, milliseconds(15));
  }
  end.say(wire_close(1000, "eject", true));
  run_for(end.loop, milliseconds(60));
  ASSERT_EQ(end.endings.size(), 1U) << "seen without a receive";
  EXPECT_EQ(end.endings[0].reason, "eject");
  bool woke = false;
  end.loop.run(note_readable(end.loop, *end.stream, woke));
  std::vector<std::byte> got(60'000);
  EXPECT_EQ(end.receive(got), 50'000);
  EXPECT_TRUE(matches_pattern(std::span(got).first(50'000), 6, 0));
  EXPECT_EQ(end.receive(got), 0);
}

TEST(WebsocketStream, APeerThatNobodyReceivesFromIsNotBlamedForSilence) {
  WebsocketEnd end(WebsocketRole::server, quick());
  WireFrame frame;
  frame.payload = pattern(6, 0, 100'000);
  end.say(frame);
  run_for(end.loop, milliseconds(30));
  end.say(frame);
  run_for(end.loop, milliseconds(300));
  EXPECT_FALSE(end.stream->ending()) << "its bytes wait for us";
  std::vector<std::byte> got(200'000);
  std::size_t have = 0;
  while (have < got.size()) {
    const ssize_t result = end.receive(std::span(got).subspan(have));
    ASSERT_GT(result, 0);
    have += static_cast<std::size_t>(result);
  }
  EXPECT_TRUE(matches_pattern(std::span(got).first(100'000), 6, 0));
  EXPECT_TRUE(matches_pattern(std::span(got).subspan(100'000), 6, 0));
}

// A lane whose slots are all in use waits for one between readable() and receive().
TEST(WebsocketStream, NorIsOneWhoseReceiverWokeUpAndDidNotCome) {
  WebsocketEnd end(WebsocketRole::server, quick());
  end.say(2, "request");
  bool woke = false;
  end.loop.run(note_readable(end.loop, *end.stream, woke));
  for (int i = 0; i < 30; ++i) {
    run_for(end.loop, milliseconds(10));
    for (const WireFrame& frame : end.heard()) {
      if (frame.opcode == 9) end.say(10);
    }
  }
  EXPECT_FALSE(end.stream->ending());
  EXPECT_EQ(end.receive_text(), "request");
}

TEST(WebsocketStream, AProbeTellsTheDeadFromTheQuiet) {
  for (const bool answers : {true, false}) {
    WebsocketEnd end;  // its own pings are far away
    end.stream->probe(milliseconds(50));
    EXPECT_EQ(end.heard_text(), "9: ");
    if (answers) end.say(10);
    const auto began = Clock::now();
    run_for(end.loop, milliseconds(100));
    EXPECT_LT(Clock::now() - began, milliseconds(2'000)) << "its timer left the loop to others";
    EXPECT_EQ(end.stream->ending().has_value(), !answers);
    EXPECT_EQ(end.receive_text(), errno_text(answers ? EAGAIN : ETIMEDOUT));
  }
}

// ---- Moving

TEST(WebsocketStream, MovesToAnotherThreadsLoop) {
  WebsocketEnd end(WebsocketRole::server, quick());
  end.say(2, "before ");
  run_for(end.loop, milliseconds(30));
  end.stream->rest();
  end.say(2, "after");
  std::string text;
  std::string pings;
  std::thread([&end, &text, &pings] {
    Loop other;
    end.stream->move_to(other);
    bool woke = false;
    other.run(note_readable(other, *end.stream, woke));
    text = end.receive_text();
    if (text == "before ") text += end.receive_text();  // what has come in between may be a second
    for (int i = 0; i < 200 && pings.empty(); ++i) {
      run_for(other, milliseconds(5));
      pings = end.heard_text();
    }
    end.stream->rest();
  }).join();
  EXPECT_EQ(text, "before after");
  EXPECT_EQ(pings, "9: ") << "it pings there";
  end.stream->move_to(end.loop);
}

}  // namespace
}  // namespace nbdring
