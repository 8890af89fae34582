// How a websocket ends: by the peer, by us, by the clock, by a breach; and what each side is told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "backends/websocket/stream.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/websocket_end.hpp"

namespace nbdring {
namespace {

using Ending = WebsocketStream::Ending;

WebsocketOptions quick() {
  WebsocketOptions options;
  options.close_within = milliseconds(60);
  return options;
}

Task<void> close_it(Loop&, WebsocketStream& stream, milliseconds within) {
  co_await stream.close(Clock::now() + within);
}

void expect_ending(const WebsocketEnd& end, bool by_peer, bool was_clean, std::uint16_t code,
                   const std::string& reason) {
  const std::optional<Ending> ending = end.stream->ending();
  ASSERT_TRUE(ending);
  EXPECT_EQ(ending->by_peer, by_peer);
  EXPECT_EQ(ending->was_clean, was_clean);
  EXPECT_EQ(ending->code, code);
  EXPECT_EQ(ending->reason, reason);
  EXPECT_EQ(end.endings.size(), 1U) << "the watch is told once";
}

TEST(WebsocketEnding, ThePeerSaysClose) {
  WebsocketEnd end;
  end.say(2, "last words");
  end.say(wire_close(1001, "reload", true));
  end.say(2, "nobody hears this");
  EXPECT_FALSE(end.stream->ending());
  EXPECT_EQ(end.receive_text(), "last words");
  EXPECT_EQ(end.receive_text(), "");
  EXPECT_EQ(end.receive_text(), "");
  expect_ending(end, true, true, 1001, "reload");
  EXPECT_EQ(end.heard_text(), "8:\x03\xe9 ") << "its code comes back, once";
  EXPECT_EQ(end.send("more"), -EPIPE);
}

TEST(WebsocketEnding, ACloseFrameWithoutACode) {
  WebsocketEnd end;
  end.say(8);
  EXPECT_EQ(end.receive_text(), "");
  expect_ending(end, true, true, 1005, "");
  EXPECT_EQ(end.heard_text(), "8: ");
}

TEST(WebsocketEnding, ThePeerGoesWithoutAWord) {
  WebsocketEnd end;
  end.say(2, "half of a");
  end.far.reset();
  EXPECT_EQ(end.receive_text(), "half of a");
  EXPECT_EQ(end.receive_text(), "-" + std::to_string(ECONNRESET));
  expect_ending(end, true, false, 1006, "gone without a close frame");
}

TEST(WebsocketEnding, WeShutItDown) {
  for (const WebsocketRole role : {WebsocketRole::server, WebsocketRole::client}) {
    WebsocketEnd end(role);
    end.stream->set_close(4000, "detached");
    end.say(2, "had arrived");
    end.stream->shut_down();
    EXPECT_EQ(end.heard_text(),
              "8:\x0f\xa0"
              "detached ");
    EXPECT_TRUE(end.is_over);
    EXPECT_EQ(end.receive_text(), "had arrived");
    EXPECT_EQ(end.receive_text(), "");
    expect_ending(end, false, false, 4000, "detached");
    end.stream->shut_down();
    EXPECT_EQ(end.heard_text(), "");
  }
}

TEST(WebsocketEnding, WeSayCloseAndThePeerAnswers) {
  WebsocketEnd end;
  end.stream->set_close(4001, "failed: no space");
  end.stream->say_close();
  end.stream->say_close();
  EXPECT_EQ(end.heard_text(),
            "8:\x0f\xa1"
            "failed: no space ");
  EXPECT_FALSE(end.is_over) << "it is still listened to";
  EXPECT_EQ(end.send("more"), -EPIPE);
  end.say(2, "on its way");
  EXPECT_EQ(end.receive_text(), "on its way");
  end.say(wire_close(4001, "", true));
  EXPECT_EQ(end.receive_text(), "");
  expect_ending(end, false, true, 4001, "failed: no space");
}

// A browser would answer a close frame before its page has seen what came earlier.
TEST(WebsocketEnding, WhoTakesLeaveWaitsForThePeerToClose) {
  WebsocketEnd end;
  end.stream->set_close(4000, "detached");
  end.stream->end_sending();
  EXPECT_EQ(end.heard_text(), "");
  end.say(2, "on its way");
  EXPECT_EQ(end.receive_text(), "on its way");
  end.say(wire_close(1000, "", true));
  EXPECT_EQ(end.receive_text(), "");
  EXPECT_EQ(end.heard_text(),
            "8:\x0f\xa0"
            "detached ");
  expect_ending(end, true, true, 1000, "");
}

TEST(WebsocketEnding, AnEndWithoutACloseFrameIsNotClean) {
  WebsocketEnd end;
  end.stream->say_close();
  ::shutdown(end.far.get(), SHUT_WR);
  EXPECT_EQ(end.receive_text(), "-" + std::to_string(ECONNRESET));
  expect_ending(end, true, false, 1006, "gone without a close frame");
}

TEST(WebsocketEnding, NobodyWaitsLongForTheAnswer) {
  WebsocketEnd end(WebsocketRole::server, quick());
  end.stream->say_close();
  run_for(end.loop, milliseconds(150));
  EXPECT_EQ(end.receive_text(), "-" + std::to_string(ETIMEDOUT));
  expect_ending(end, true, false, 1006, "no answer to the close frame");
  end.heard();
  EXPECT_TRUE(end.is_over);
}

TEST(WebsocketEnding, APoliteCloseDiscardsWhatComesBeforeTheAnswer) {
  WebsocketEnd end;
  end.stream->set_close(1001, "");
  WireFrame frame;
  frame.payload = pattern(1, 0, 70'000);
  end.say(frame);
  end.say(wire_close(1001, "", true));
  end.loop.run(close_it(end.loop, *end.stream, milliseconds(5'000)));
  expect_ending(end, false, true, 1001, "");
  EXPECT_EQ(end.heard_text(), "8:\x03\xe9 ");
  EXPECT_TRUE(end.is_over);
}

TEST(WebsocketEnding, APoliteCloseEndsAtItsDeadline) {
  WebsocketEnd end;
  const auto began = Clock::now();
  end.loop.run(close_it(end.loop, *end.stream, milliseconds(50)));
  EXPECT_GE(Clock::now() - began, milliseconds(45));
  EXPECT_LT(Clock::now() - began, milliseconds(2'000));
  expect_ending(end, true, false, 1006, "no answer to the close frame");
  EXPECT_EQ(end.heard_text(), "8:\x03\xe8 ");
}

TEST(WebsocketEnding, ABreachIsToldToThePeer) {
  struct Case {
    WireFrame frame;
    std::uint16_t code;
  };
  WireFrame text;
  text.opcode = 1;
  WireFrame reserved;
  reserved.reserved = 4;
  WireFrame huge;
  huge.length_claimed = UINT64_MAX;
  for (const Case& breach : {Case{text, 1003}, Case{reserved, 1002}, Case{huge, 1002}}) {
    WebsocketEnd end;
    end.say(2, "good");
    end.say(breach.frame);
    EXPECT_EQ(end.receive_text(), "good");
    EXPECT_EQ(end.receive_text(), "-" + std::to_string(EPROTO));
    ASSERT_TRUE(end.stream->ending());
    EXPECT_EQ(end.stream->ending()->code, breach.code);
    EXPECT_FALSE(end.stream->ending()->by_peer || end.stream->ending()->was_clean);
    const auto frames = end.heard();
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(wire_frame(frames[0]), wire_close(breach.code, end.stream->ending()->reason, false));
  }
}

TEST(WebsocketEnding, WhoHoldsOnToWhatHasEndedIsLetGo) {
  WebsocketEnd end(WebsocketRole::server, quick());
  end.say(wire_close(1000, "", true));
  EXPECT_EQ(end.receive_text(), "");
  end.heard();
  EXPECT_FALSE(end.is_over);
  run_for(end.loop, milliseconds(150));
  end.heard();
  EXPECT_TRUE(end.is_over);
}

TEST(WebsocketEnding, NoCloseFrameFallsIntoADataFrame) {
  WebsocketEnd end;
  const auto data = pattern(5, 0, 4'000'000);
  while (end.send(data) > 0) continue;
  end.stream->shut_down();
  while (!end.is_over) {
    for (const WireFrame& frame : end.heard()) EXPECT_EQ(frame.opcode, 2U);
  }
  EXPECT_EQ(end.stream->ending()->code, 1000);
}

TEST(WebsocketEnding, ACloseReachesAPeerThatWasStillSending) {
  // What the kernel does with unread bytes: it resets the connection, unless they are taken first.
  WebsocketEnd end;
  WireFrame frame;
  frame.payload = pattern(1, 0, 50'000);
  end.say(frame);
  end.stream->set_close(4000, "detached");
  end.stream->shut_down();
  end.stream.reset();
  EXPECT_EQ(end.heard_text(),
            "8:\x0f\xa0"
            "detached ");
  EXPECT_TRUE(end.is_over) << "an end, not a reset";
}

}  // namespace
}  // namespace nbdring
