// The words of a frame, and the frames that our end writes, read by a reader that shares nothing
// with the codec.

#include "backends/websocket/frames.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "backends/websocket/frame_encoder.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/websocket_wire.hpp"

namespace nbdring::websocket {
namespace {

bool valid(std::string_view text) { return is_utf8(std::as_bytes(std::span(text))); }

TEST(WebsocketUtf8, TakesEveryCharacterAndNothingElse) {
  for (const std::string_view text :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "gr\xc3\xbc\xc3\x9f"}) {
    EXPECT_TRUE(valid(text)) << testing::PrintToString(std::string(text));
  }
  for (const std::string_view text : {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x7f",
                                      "\xc2\xc0",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe1\x80",
                                      "\xe1\x80\x7f",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xf1\x80\x80",
                                      "\xf1\x80\x80\xc0",
                                      "abc\x80",
                                      "\xf1\x80\x80\x80\x80"}) {
    EXPECT_FALSE(valid(text)) << testing::PrintToString(std::string(text));
  }
}

TEST(WebsocketUtf8, IsCutBetweenCharacters) {
  EXPECT_EQ(utf8_prefix("abc", 3), "abc");
  EXPECT_EQ(utf8_prefix("abcd", 3), "abc");
  EXPECT_EQ(utf8_prefix("ab\xc3\xbc", 3), "ab");
  EXPECT_EQ(utf8_prefix("a\xf0\x9f\x98\x80z", 4), "a");
  EXPECT_EQ(utf8_prefix("\xf0\x9f\x98\x80z", 4), "\xf0\x9f\x98\x80");
}

TEST(WebsocketClose, KnowsTheCodesThatMayBeSent) {
  std::set<std::uint16_t> codes;
  for (unsigned code = 0; code <= 0xffff; ++code) {
    const auto value = static_cast<std::uint16_t>(code);
    if (is_close_code(value) && value < 3000) codes.insert(value);
    EXPECT_EQ(is_close_code(value), code < 3000 ? codes.count(value) > 0 : code < 5000);
  }
  EXPECT_THAT(codes, testing::ElementsAre(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
                                          1012, 1013, 1014));
}

WireFrame read_one(std::span<const std::byte> bytes) {
  WireBytes copy(bytes.begin(), bytes.end());
  const std::optional<WireFrame> frame = take_wire_frame(copy);
  EXPECT_TRUE(frame && copy.empty());
  return frame.value_or(WireFrame());
}

class WebsocketEncoder : public testing::TestWithParam<WebsocketRole> {
 protected:
  bool masks() const { return GetParam() == WebsocketRole::client; }
  std::array<std::byte, 3 * control_frame_max> bytes_;
  std::size_t used_ = 0;
  std::span<const std::byte> written() const { return std::span(bytes_).first(used_); }
};

TEST_P(WebsocketEncoder, WritesLengthsInTheirShortestForm) {
  FrameEncoder encoder(GetParam());
  for (const auto& [length, size] : std::initializer_list<std::pair<std::size_t, std::size_t>>{
           {0, 2}, {1, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {131072, 10}}) {
    const FrameHeader header = encoder.begin_message(length);
    EXPECT_EQ(header.size, size + (masks() ? 4 : 0)) << length;
    WireBytes frame(header.span().begin(), header.span().end());
    const std::vector<std::byte> payload = pattern(7, 0, length);
    frame.resize(header.size + length);
    if (masks()) {
      encoder.mask().copy(frame.data() + header.size, payload.data(), length);
    } else if (length > 0) {
      std::memcpy(frame.data() + header.size, payload.data(), length);
    }
    const WireFrame read = read_one(frame);
    EXPECT_EQ(read.opcode, 2U);
    EXPECT_EQ(read.masked, masks());
    EXPECT_TRUE(read.fin && read.reserved == 0);
    EXPECT_EQ(read.payload, payload);
  }
}

TEST_P(WebsocketEncoder, WritesControlFrames) {
  FrameEncoder encoder(GetParam());
  const WireBytes longest = pattern(1, 0, control_payload_max);
  encoder.pong(longest, bytes_, used_);
  const WireFrame pong = read_one(written());
  EXPECT_EQ(pong.opcode, 10U);
  EXPECT_EQ(pong.payload, longest);
  EXPECT_EQ(pong.masked, masks());

  used_ = 0;
  encoder.ping({}, bytes_, used_);
  EXPECT_EQ(read_one(written()).opcode, 9U);
  EXPECT_TRUE(read_one(written()).payload.empty());

  used_ = 0;
  encoder.close(4001, "failed", bytes_, used_);
  const WireFrame close = read_one(written());
  EXPECT_EQ(close.opcode, 8U);
  EXPECT_EQ(close.payload, wire_text("\x0f\xa1"
                                     "failed"));

  used_ = 0;
  encoder.close(close_none, "never said", bytes_, used_);
  EXPECT_TRUE(read_one(written()).payload.empty());
}

TEST_P(WebsocketEncoder, CutsALongReasonBetweenCharacters) {
  FrameEncoder encoder(GetParam());
  const std::string reason = std::string(reason_max - 1, 'r') + "\xc3\xbc";
  encoder.close(close_normal, reason, bytes_, used_);
  const WireFrame close = read_one(written());
  EXPECT_EQ(close.payload.size(), 2 + reason_max - 1);
  CloseFrame parsed;
  EXPECT_FALSE(parse_close(close.payload, parsed));
  EXPECT_EQ(parsed.reason, std::string(reason_max - 1, 'r'));
}

INSTANTIATE_TEST_SUITE_P(Roles, WebsocketEncoder,
                         testing::Values(WebsocketRole::client, WebsocketRole::server));

TEST(MaskKeys, AreFreshAndFromAllBits) {
  MaskKeys keys;
  std::set<std::uint32_t> seen;
  std::uint32_t ones = 0;
  std::uint32_t zeros = 0;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i) {
    std::uint32_t value = 0;
    const MaskKey key = keys.next();
    std::memcpy(&value, key.data(), sizeof value);
    seen.insert(value);
    ones |= value;
    zeros |= ~value;
  }
  EXPECT_GE(seen.size(), count - 5U) << "two equal ones among a thousand are 1 in 8600";
  EXPECT_EQ(ones & zeros, UINT32_MAX);
  MaskKeys others;
  EXPECT_NE(others.next(), keys.next());
}

}  // namespace
}  // namespace nbdring::websocket
