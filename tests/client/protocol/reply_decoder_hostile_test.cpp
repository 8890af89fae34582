// What a server can do wrong in its replies: each is noticed, named, and as early as it can be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/decoding.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;
using testing::HasSubstr;

// Of 4096 bytes at 8192, under the cookie 1; `header` says how many bytes show the misdeed.
struct Misdeed {
  const char* name;
  TransmissionOptions transmission;
  Command command;
  Bytes bytes;
  const char* reason;
  std::size_t header = 0;  // 0: all
};

const Chunks c;
const Bytes data = pattern(1, 8192, 4096);
const Bytes half = pattern(1, 8192, 2048);
constexpr Command read = Command::read;
constexpr Command write = Command::write;
constexpr Command status = Command::block_status;

Chunks extended_at(std::uint64_t offset) {
  Chunks chunks;
  chunks.extended = true;
  chunks.offset = offset;
  return chunks;
}

const Chunks x = extended_at(8192);

std::vector<Misdeed> misdeeds_of_form() {
  return {
      {"magic", plain_replies, read, Bytes(16), "a wrong magic", 16},
      {"cookie", plain_replies, read, simple_reply(2), "to no request", 16},
      {"chunk's cookie", structured_replies, read, c.none(2), "to no request", 20},
      {"structured", plain_replies, read, c.data(1, 8192, data), "not agreed on", 16},
      {"extended under simple", plain_replies, read, x.none(1), "not agreed on", 16},
      {"extended under structured", structured_replies, write, x.none(1), "not agreed on", 16},
      {"structured under extended", extended_replies, write, c.none(1), "not agreed on", 16},
      {"simple under extended", extended_replies, write, simple_reply(1), "not agreed on", 16},
      {"another offset", extended_replies, write, extended_at(8191).none(1), "another offset", 32},
      {"simple READ", structured_replies, read, simple_reply(1), "a simple reply to a READ", 16},
      {"simple READ error", structured_replies, read, simple_reply(1, 5),
       "a simple reply to a READ", 16},
      {"simple after chunk", structured_replies, write, c.error(1, 5, {}, false) + simple_reply(1),
       "behind a chunk"},
      {"second reply", plain_replies, write, simple_reply(1) + simple_reply(1), "to no request"},
      {"chunk after done", structured_replies, write, c.none(1) + c.none(1), "to no request"},
  };
}

std::vector<Misdeed> misdeeds_of_data() {
  return {
      {"none with bytes", structured_replies, read, c.chunk(1, 1, 0, Bytes(4)), "not empty", 20},
      {"none, not done", structured_replies, read, c.chunk(1, 0, 0, {}), "not the last", 20},
      {"only none", structured_replies, read, c.none(1), "without all bytes"},
      {"hole left", structured_replies, read,
       c.data(1, 8192, half, false) + c.data(1, 8192 + 2049, pattern(1, 0, 2047)), "without all"},
      {"same twice", structured_replies, read,
       c.data(1, 8192, half, false) + c.data(1, 8192, half, false), "twice"},
      {"hole over data", structured_replies, read,
       c.data(1, 8192, half, false) + c.hole(1, 10239, 2), "twice"},
      {"data in a WRITE", structured_replies, write, c.data(1, 8192, half), "another command", 20},
      {"hole in a WRITE", structured_replies, write, c.hole(1, 8192, 512), "another command", 20},
      {"extents in a WRITE", structured_replies, write, c.status(1, decoding_context, {{512, 0}}),
       "another command", 20},
      {"empty data", structured_replies, read, c.data(1, 8192, {}), "wrong length", 20},
      {"4 GiB", structured_replies, read, c.raw(1, 1, 1, data, 0xffffffff), "wrong length", 20},
      {"2^64", extended_replies, read, x.raw(1, 1, 1, data, UINT64_MAX), "wrong length", 32},
      {"one too many", structured_replies, read, c.raw(1, 1, 1, data, 4096 + 9), "wrong length",
       20},
      {"before", structured_replies, read, c.data(1, 8191, half), "outside", 28},
      {"beyond", structured_replies, read, c.data(1, 8192 + 2049, half), "outside", 28},
      {"wraps", structured_replies, read, c.data(1, UINT64_MAX, half), "outside", 28},
      {"wraps to the begin", structured_replies, read, c.data(1, UINT64_MAX - 2047, half),
       "outside", 28},
      {"hole of 0", structured_replies, read, c.hole(1, 8192, 0), "no bytes", 32},
      {"hole beyond", structured_replies, read, c.hole(1, 8192, 4097), "outside", 32},
      {"hole wraps", structured_replies, read, c.hole(1, UINT64_MAX - 1, 4), "outside", 32},
      {"long hole", structured_replies, read, c.chunk(1, 1, 2, Bytes(13)), "wrong length", 20},
  };
}

std::vector<Misdeed> misdeeds_of_errors() {
  return {
      {"error 0", structured_replies, read, c.error(1, 0), "without an error", 26},
      {"short error", structured_replies, read, c.chunk(1, 1, nbd::reply_type_error, Bytes(5)),
       "wrong length", 20},
      {"64 KiB of text", structured_replies, read, c.error(1, 5, Bytes(65'535)), "wrong length",
       20},
      {"text beyond", structured_replies, write,
       c.chunk(
           1, 1, nbd::reply_type_error,
           Bytes{std::byte{}, std::byte{}, std::byte{}, std::byte{5}, std::byte{}, std::byte{1}}),
       "longer than its chunk", 26},
      {"error elsewhere", structured_replies, write, c.error_at(1, 5, 8192 + 4096),
       "outside of its"},
      {"error before", structured_replies, write, c.error_at(1, 5, 8191), "outside of its"},
      {"unknown error of 3 bytes", structured_replies, write, c.chunk(1, 1, 0x8abc, Bytes(3)),
       "wrong length", 20},
      {"unknown type", structured_replies, write, c.chunk(1, 1, 7, {}), "unknown type", 20},
  };
}

std::vector<Misdeed> misdeeds_of_extents() {
  return {
      {"other context", structured_replies, status, c.status(1, decoding_context + 1, {{512, 0}}),
       "context", 24},
      {"no extent", structured_replies, status, c.status(1, decoding_context, {}), "wrong length",
       20},
      {"half an extent", structured_replies, status, c.chunk(1, 1, 5, Bytes(4 + 8 + 4)),
       "wrong length", 20},
      {"2^20 + 1 extents", structured_replies, status, c.raw(1, 1, 5, {}, 4 + 8 * ((1 << 20) + 1)),
       "wrong length", 20},
      {"extent of 0", structured_replies, status, c.status(1, decoding_context, {{512, 0}, {0, 1}}),
       "no bytes"},
      {"extents beyond", structured_replies, status,
       c.status(1, decoding_context, {{4096, 0}, {512, 1}}), "beyond the end"},
      {"extents twice", structured_replies, status,
       c.status(1, decoding_context, {{512, 0}}, false) + c.status(1, decoding_context, {{512, 0}}),
       "twice"},
      {"status without", structured_replies, status, c.none(1), "without extents"},
      {"simple status", structured_replies, status, simple_reply(1), "without extents"},
      {"short extents, extended", extended_replies, status, x.chunk(1, 1, 5, Bytes(12)),
       "not agreed on", 32},
      {"long extents, structured", structured_replies, status, c.chunk(1, 1, 6, Bytes(24)),
       "not agreed on", 20},
      {"another count", extended_replies, status,
       x.chunk(1, 1, 6,
               Bytes{std::byte{}, std::byte{}, std::byte{}, std::byte{decoding_context}} +
                   Bytes(4 + 16)),
       "another number", 40},
  };
}

TEST(ReplyDecoder, MisdeedsAreNamedAtEverySplit) {
  std::vector<Misdeed> misdeeds;
  for (const auto& some :
       {misdeeds_of_form(), misdeeds_of_data(), misdeeds_of_errors(), misdeeds_of_extents()}) {
    misdeeds.insert(misdeeds.end(), some.begin(), some.end());
  }
  for (const Misdeed& misdeed : misdeeds) {
    SCOPED_TRACE(misdeed.name);
    const Questions questions = [&](Decoding& decoding) {
      decoding.expect(misdeed.command, 1, 8192, 4096);
    };
    const std::string said = said_of(misdeed.transmission, questions, misdeed.bytes);
    EXPECT_THAT(said, HasSubstr("broken: "));
    EXPECT_THAT(said, HasSubstr(misdeed.reason));
    if (misdeed.header == 0) continue;
    const Bytes header(misdeed.bytes.begin(),
                       misdeed.bytes.begin() + static_cast<std::ptrdiff_t>(misdeed.header));
    EXPECT_EQ(said_of(misdeed.transmission, questions, header), said) << "seen as soon as possible";
    if (misdeed.bytes.size() < 200) {
      expect_same_at_every_split(misdeed.transmission, questions, misdeed.bytes, said);
    }
  }
}

TEST(ReplyDecoder, AByteAChunkIsTooMany) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::read, 1, 0, 4096);
  };
  Bytes bytes;
  for (std::uint64_t i = 0; i < 4096; ++i) {
    bytes = bytes + Chunks().data(1, i, pattern(1, i, 1), i == 4095);
  }
  EXPECT_THAT(said_of(structured_replies, questions, bytes),
              HasSubstr("too many chunks to one request: 17 "));
}

TEST(ReplyDecoder, OneExtentMeansOne) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::block_status, 1, 0, 4096, 1).one_extent = true;
  };
  EXPECT_EQ(
      said_of(structured_replies, questions, Chunks().status(1, decoding_context, {{4096, 3}})),
      "1 error 0 4096/3; ");
  EXPECT_THAT(said_of(structured_replies, questions,
                      Chunks().status(1, decoding_context, {{512, 0}, {512, 1}})),
              HasSubstr("wrong length"));
  EXPECT_THAT(
      said_of(structured_replies, questions, Chunks().status(1, decoding_context, {{4097, 0}})),
      HasSubstr("reaches beyond"));
}

}  // namespace
}  // namespace nbdring
