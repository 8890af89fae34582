// The decoder against frames made by hand: every rule of RFC 6455 that a peer can break, and long
// random conversations that are cut anywhere, compared with what was put in.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "backends/websocket/frame_decoder.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"
#include "tests/support/websocket_wire.hpp"

namespace nbdring::websocket {
namespace {

/// What came out, in one line of words and one string of bytes.
struct Heard {
  std::string events;
  WireBytes payload;
  std::uint16_t code = 0;
  bool operator==(const Heard&) const = default;
};

class Listener {
 public:
  explicit Listener(WebsocketRole role, std::size_t room = SIZE_MAX)
      : decoder_(role), room_(room) {}

  void hear(std::span<const std::byte> input) {
    for (;;) {
      switch (decoder_.decode(input)) {
        case FrameDecoder::Event::more:
          EXPECT_TRUE(input.empty());
          return;
        case FrameDecoder::Event::payload:
          take_payload(input);
          break;
        case FrameDecoder::Event::control:
          note_control();
          break;
        case FrameDecoder::Event::broken:
          if (heard.code == 0) heard.events += "broken";
          heard.code = decoder_.violation().code;
          EXPECT_FALSE(decoder_.violation().text.empty());
          return;
      }
    }
  }

  Heard heard;

 private:
  // By turns copied, and received in place.
  void take_payload(std::span<const std::byte>& input) {
    ASSERT_FALSE(input.empty());
    WireBytes to(std::min({room_, input.size(), std::size_t{70'000}}));
    in_place_ = !in_place_;
    if (in_place_) {
      to.resize(std::min<std::uint64_t>(to.size(), decoder_.payload_left()));
      std::memcpy(to.data(), input.data(), to.size());
      input = input.subspan(to.size());
      decoder_.unmask_in_place(to);
    } else {
      to.resize(decoder_.copy_payload(input, to));
    }
    ASSERT_FALSE(to.empty());
    heard.payload.insert(heard.payload.end(), to.begin(), to.end());
  }
  void note_control() {
    const auto payload = decoder_.control();
    heard.events += std::to_string(static_cast<unsigned>(decoder_.opcode())) + ":" +
                    std::string(reinterpret_cast<const char*>(payload.data()), payload.size()) +
                    " ";
    if (decoder_.opcode() == Opcode::close) {
      heard.events += "(" + std::to_string(decoder_.close().code) + " " +
                      std::string(decoder_.close().reason) + ")";
    }
  }

  FrameDecoder decoder_;
  std::size_t room_;
  bool in_place_ = false;
};

Heard hear(std::span<const std::byte> bytes, WebsocketRole role = WebsocketRole::server) {
  Listener listener(role);
  listener.hear(bytes);
  return listener.heard;
}

WireFrame frame_of(unsigned opcode, std::string_view payload = "", bool fin = true) {
  WireFrame frame;
  frame.opcode = opcode;
  frame.payload = wire_text(payload);
  frame.fin = fin;
  return frame;
}

WireBytes joined(std::initializer_list<WireFrame> frames) {
  WireBytes all;
  for (const WireFrame& frame : frames) {
    const WireBytes bytes = wire_frame(frame);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

// RFC 6455, 5.7.
TEST(WebsocketDecoder, ReadsTheExamplesOfTheStandard) {
  const WireBytes ping = wire_text("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  EXPECT_EQ(hear(ping).events, "9:Hello ");
  WireBytes binary = wire_text("\x82\x7e\x01");
  binary.push_back(std::byte{0});
  const auto payload = pattern(1, 0, 256);
  binary.insert(binary.end(), payload.begin(), payload.end());
  EXPECT_EQ(hear(binary, WebsocketRole::client).payload, payload);
}

struct Breach {
  const char* what;
  WireBytes bytes;
  std::uint16_t code;
};

std::vector<Breach> breaches() {
  std::vector<Breach> all;
  const auto add = [&all](const char* what, const WireBytes& bytes, std::uint16_t code = 1002) {
    all.push_back({what, bytes, code});
  };
  for (const unsigned bit : {4U, 2U, 1U, 7U}) {
    WireFrame frame = frame_of(2, "x");
    frame.reserved = bit;
    add("reserved bit", wire_frame(frame));
  }
  for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
    add("reserved opcode", wire_frame(frame_of(opcode)));
  }
  WireFrame bare = frame_of(2, "x");
  bare.masked = false;
  add("no mask", wire_frame(bare));
  bare.opcode = 9;
  add("no mask on a ping", wire_frame(bare));
  add("text", wire_frame(frame_of(1, "hello")), 1003);
  add("text in fragments", wire_frame(frame_of(1, "hello", false)), 1003);
  add("continuation of nothing", wire_frame(frame_of(0, "x")));
  add("continuation after the end", joined({frame_of(2, "x", false), frame_of(0), frame_of(0)}));
  add("message in a message", joined({frame_of(2, "x", false), frame_of(2, "y")}));
  add("text in a message", joined({frame_of(2, "x", false), frame_of(1, "y")}));
  for (const unsigned opcode : {8U, 9U, 10U}) {
    add("control frame in fragments", wire_frame(frame_of(opcode, "", false)));
    add("control frame of 126 bytes", wire_frame(frame_of(opcode, std::string(126, 'x'))));
    WireFrame large = frame_of(opcode);
    large.length_form = 3;
    large.length_claimed = 70'000;
    add("control frame of 70000 bytes", wire_frame(large));
    large.length_form = 2;
    large.length_claimed = 5;
    add("control frame with a long length", wire_frame(large));
  }
  for (const auto& [form, length] : std::initializer_list<std::pair<unsigned, std::uint64_t>>{
           {2, 0}, {2, 125}, {3, 0}, {3, 125}, {3, 126}, {3, 65535}}) {
    WireFrame wide = frame_of(2);
    wide.length_form = form;
    wide.length_claimed = length;
    add("length not in its shortest form", wire_frame(wide));
  }
  for (const std::uint64_t length : {std::uint64_t{1} << 63, UINT64_MAX}) {
    WireFrame huge = frame_of(2);
    huge.length_claimed = length;
    add("highest bit of a length", wire_frame(huge));
  }
  add("close of one byte", wire_frame(frame_of(8, "\x03")));
  for (const std::uint16_t code :
       {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    add("close code", wire_close(code, "", true));
  }
  add("close reason", wire_close(1000, "\xc3", true), 1007);
  add("close reason", wire_close(1000, "a\xed\xa0\x80", true), 1007);
  return all;
}

TEST(WebsocketDecoder, ClosesEveryBreachWithItsCodeWhereverItIsCut) {
  for (const Breach& breach : breaches()) {
    const Heard whole = hear(breach.bytes);
    EXPECT_EQ(whole.code, breach.code) << breach.what;
    for (std::size_t cut = 0; cut <= breach.bytes.size(); ++cut) {
      Listener listener(WebsocketRole::server);
      listener.hear(std::span(breach.bytes).first(cut));
      listener.hear(std::span(breach.bytes).subspan(cut));
      ASSERT_EQ(listener.heard, whole) << breach.what << " cut at " << cut;
    }
  }
}

TEST(WebsocketDecoder, SaysSoBeforeTheRestOfABadFrame) {
  const WireBytes reserved = wire_text("\xa2\xff");
  EXPECT_EQ(hear(reserved).code, 1002) << "two bytes are enough";
  const WireBytes text = wire_text("\x81\xff");
  EXPECT_EQ(hear(text).code, 1003);
}

TEST(WebsocketDecoder, StaysBroken) {
  Listener listener(WebsocketRole::server);
  listener.hear(wire_frame(frame_of(1)));
  EXPECT_EQ(listener.heard.code, 1003);
  listener.hear(wire_frame(frame_of(2, "payload")));
  EXPECT_TRUE(listener.heard.payload.empty());
}

TEST(WebsocketDecoder, RefusesAMaskFromAServer) {
  EXPECT_EQ(hear(wire_frame(frame_of(2, "x")), WebsocketRole::client).code, 1002);
}

TEST(WebsocketDecoder, TakesEveryGoodCloseFrame) {
  EXPECT_EQ(hear(wire_frame(frame_of(8))).events, "8: (1005 )");
  for (const std::uint16_t code : {1000, 1001, 1002, 1003, 1007, 1014, 3000, 4000, 4999}) {
    const Heard heard = hear(wire_close(code, "why \xc3\xbc", true));
    EXPECT_EQ(heard.code, 0);
    EXPECT_TRUE(heard.events.ends_with("(" + std::to_string(code) + " why \xc3\xbc)"));
  }
}

TEST(WebsocketDecoder, StreamsAFrameLargerThanAnyMemory) {
  WireFrame endless = frame_of(2);
  endless.length_claimed = std::uint64_t{1} << 62;
  Listener listener(WebsocketRole::server);
  listener.hear(wire_frame(endless));
  WireBytes masked(1 << 20);
  for (int i = 0; i < 4; ++i) listener.hear(masked);
  EXPECT_EQ(listener.heard.payload.size(), 4U << 20);
  EXPECT_EQ(listener.heard.events, "");
}

// A message in four fragments, one of them empty, with control frames in between; then two frames
// whose lengths take 16 and 64 bits.
WireBytes conversation(bool masked, WireBytes& payload) {
  std::vector<WireFrame> frames{frame_of(2, "first", false),
                                frame_of(9, "ping"),
                                frame_of(0, "", false),
                                frame_of(10, std::string(125, 'p')),
                                frame_of(0, "second", false),
                                frame_of(0, "third"),
                                frame_of(2, std::string(126, 'm')),
                                frame_of(2, ""),
                                frame_of(9, "")};
  WireBytes bytes;
  std::uint8_t number = 0;
  for (WireFrame& frame : frames) {
    frame.masked = masked;
    frame.key = {number, static_cast<std::uint8_t>(number * 3 + 1), 0xff, 0};
    ++number;
    const WireBytes wire = wire_frame(frame);
    bytes.insert(bytes.end(), wire.begin(), wire.end());
    if (frame.opcode > 2) continue;
    payload.insert(payload.end(), frame.payload.begin(), frame.payload.end());
  }
  return bytes;
}

TEST(WebsocketDecoder, SaysTheSameAtEveryPairOfCuts) {
  for (const WebsocketRole role : {WebsocketRole::server, WebsocketRole::client}) {
    WireBytes payload;
    const WireBytes bytes = conversation(role == WebsocketRole::server, payload);
    const Heard whole = hear(bytes, role);
    ASSERT_EQ(whole.payload, payload);
    ASSERT_EQ(whole.events, "9:ping 10:" + std::string(125, 'p') + " 9: ");
    const std::span<const std::byte> all(bytes);
    for (std::size_t first = 0; first <= bytes.size(); ++first) {
      for (std::size_t second = first; second <= bytes.size(); ++second) {
        Listener listener(role, 3);
        listener.hear(all.first(first));
        listener.hear(all.subspan(first, second - first));
        listener.hear(all.subspan(second));
        ASSERT_EQ(listener.heard, whole) << "cut at " << first << " and " << second;
      }
    }
  }
}

// A random peer and the plainest model of it: what it meant to say.
struct Model {
  explicit Model(std::uint64_t seed) : random(seed), masked(random.percent(50)) {}

  void say_something() {
    if (random.percent(25)) {
      say_control();
      return;
    }
    constexpr std::array<std::size_t, 9> sizes{0, 1, 125, 126, 127, 4096, 65535, 65536, 70'000};
    WireFrame frame;
    frame.opcode = in_message ? 0 : 2;
    frame.fin = random.percent(60);
    in_message = !frame.fin;
    frame.payload =
        pattern(random.next(), 0, random.percent(60) ? random.below(300) : random.pick(sizes));
    expected.payload.insert(expected.payload.end(), frame.payload.begin(), frame.payload.end());
    say(frame);
  }
  void say_control() {
    WireFrame frame;
    frame.opcode = random.percent(50) ? 9 : 10;
    frame.payload.assign(random.below(126), static_cast<std::byte>('a' + random.below(26)));
    expected.events +=
        std::to_string(frame.opcode) + ":" +
        std::string(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()) +
        " ";
    say(frame);
  }
  void say(WireFrame& frame) {
    frame.masked = masked;
    for (std::uint8_t& byte : frame.key) byte = static_cast<std::uint8_t>(random.next());
    const WireBytes wire = wire_frame(frame);
    bytes.insert(bytes.end(), wire.begin(), wire.end());
  }

  Random random;
  bool masked;
  bool in_message = false;
  WireBytes bytes;
  Heard expected;
};

TEST(WebsocketDecoder, HearsWhatARandomPeerMeantAtRandomCuts) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Model model(seed);
    for (int i = 0; i < 40; ++i) model.say_something();
    Listener listener(model.masked ? WebsocketRole::server : WebsocketRole::client,
                      model.random.percent(50) ? SIZE_MAX : 1 + model.random.below(5000));
    const std::size_t longest = model.random.percent(50) ? 40 : 30'000;
    for (std::size_t at = 0; at < model.bytes.size();) {
      const std::size_t count = std::min(model.bytes.size() - at, model.random.below(longest));
      listener.hear(std::span(model.bytes).subspan(at, count));
      at += count;
    }
    ASSERT_EQ(listener.heard, model.expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace nbdring::websocket
