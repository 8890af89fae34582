#include "client/protocol/reply_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <array>

#include "tests/support/decoding.hpp"

namespace nbdring {
namespace {

using server_side::Chunks;
using server_side::simple_reply;
using testing::HasSubstr;

TEST(ReplyDecoder, SimpleRepliesAtEverySplit) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::read, 1, 100, 50);
    decoding.expect(Command::write, 2, 0, 512);
    decoding.expect(Command::read, 3, 0, 10);
    decoding.expect(Command::flush, 4, 0, 0);
  };
  const Bytes bytes = simple_reply(4) + simple_reply(1, 0, pattern(1, 100, 50)) +
                      simple_reply(3, nbd::eio) + simple_reply(2, nbd::enospc);
  const std::string said = said_of(plain_replies, questions, bytes);
  EXPECT_THAT(said,
              testing::MatchesRegex("4 error 0; 1 error 0 data [0-9]+; 3 error 5; 2 error 28; "));
  expect_same_at_every_split(plain_replies, questions, bytes, said);
}

Bytes many_chunks(const Chunks& form) {
  Chunks c = form;
  const auto at = [&c](std::uint64_t offset) -> const Chunks& {
    c.offset = offset;
    return c;
  };
  Bytes bytes = at(1000).data(1, 1020, pattern(1, 1020, 30), false);
  bytes = bytes + at(0).error(3, nbd::enospc, pattern(5, 0, 33), false);
  bytes = bytes + at(1000).hole(1, 1010, 10, false);
  bytes = bytes + at(0).status(2, decoding_context, {{512, 3}, {1024, 0}, {9999, 1}}, false);
  bytes = bytes + at(1000).data(1, 1000, pattern(1, 1000, 10), true);
  bytes = bytes + at(0).none(2) + at(0).error_at(3, nbd::eio, 511) + at(0).none(4);
  bytes = bytes +
          at(64).chunk(5, 1, 0x8fff,
                       Bytes{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0},
                             std::byte{2}, std::byte{'n'}, std::byte{'o'}, std::byte{9}});
  return bytes;
}

void expect_many(Decoding& decoding) {
  decoding.expect(Command::read, 1, 1000, 50);
  decoding.expect(Command::block_status, 2, 0, 2048);
  decoding.expect(Command::write, 3, 0, 512);
  decoding.expect(Command::trim, 4, 0, 512);
  decoding.expect(Command::read, 5, 64, 64);
}

constexpr char many_said[] =
    "1 error 0 data [0-9]+; 2 error 0 512/3 1024/0 512/1; 3 error 28; 4 error 0; 5 error 1; ";

TEST(ReplyDecoder, ChunksAtEverySplit) {
  const Bytes bytes = many_chunks(Chunks());
  const std::string said = said_of(structured_replies, expect_many, bytes);
  EXPECT_THAT(said, testing::MatchesRegex(many_said));
  expect_same_at_every_split(structured_replies, expect_many, bytes, said);
}

TEST(ReplyDecoder, ExtendedChunksAtEverySplit) {
  Chunks form;
  form.extended = true;
  const Bytes bytes = many_chunks(form);
  const std::string said = said_of(extended_replies, expect_many, bytes);
  EXPECT_THAT(said, testing::MatchesRegex(many_said));
  expect_same_at_every_split(extended_replies, expect_many, bytes, said);
}

TEST(ReplyDecoder, SimpleRepliesAreRightForOthersThanReadUnderStructuredOnes) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::write, 1, 0, 512);
    decoding.expect(Command::block_status, 2, 0, 512);
  };
  EXPECT_EQ(said_of(structured_replies, questions, simple_reply(1) + simple_reply(2, nbd::eio)),
            "1 error 0; 2 error 5; ");
}

TEST(ReplyDecoder, UnknownErrorsAreInvalid) {
  EXPECT_EQ(errno_from_nbd(0), 0);
  EXPECT_EQ(errno_from_nbd(nbd::eoverflow), EOVERFLOW);
  EXPECT_EQ(errno_from_nbd(nbd::eshutdown), ESHUTDOWN);
  EXPECT_EQ(errno_from_nbd(nbd::enotsup), ENOTSUP);
  EXPECT_EQ(errno_from_nbd(4711), EINVAL);
}

TEST(ReplyDecoder, ExtentsLongerThan32BitsAreCutAndEndTheList) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::block_status, 1, 0, 1ULL << 40);
  };
  Chunks c;
  c.extended = true;
  EXPECT_EQ(said_of(extended_replies, questions,
                    c.status(1, decoding_context, {{4096, 0}, {1ULL << 36, 3}, {512, 0}})),
            "1 error 0 4096/0 4294901760/3; ");
}

TEST(ReplyDecoder, MoreExtentsThanThereIsRoomForAreChecked) {
  const Questions questions = [](Decoding& decoding) {
    decoding.expect(Command::block_status, 1, 0, 4096, 2);
  };
  EXPECT_EQ(said_of(structured_replies, questions,
                    Chunks().status(1, decoding_context, {{512, 3}, {512, 0}, {512, 3}})),
            "1 error 0 512/3 512/0; ");
  EXPECT_THAT(said_of(structured_replies, questions,
                      Chunks().status(1, decoding_context, {{512, 3}, {512, 0}, {0, 3}})),
              HasSubstr("an extent of no bytes"));
}

// All ways to answer a READ of four bytes with up to three chunks of data or hole: right exactly
// when each byte comes once.
TEST(ReplyDecoder, IsRightForAllSmallReads) {
  constexpr std::uint32_t size = 4;
  struct Piece {
    std::uint32_t from, length;
    bool hole;
  };
  std::vector<Piece> pieces;
  for (std::uint32_t from = 0; from <= size; ++from) {
    for (std::uint32_t length = 1; length <= size; ++length) {
      pieces.push_back({from, length, false});
      pieces.push_back({from, length, true});
    }
  }
  std::size_t good = 0;
  const auto check = [&](const std::vector<Piece>& chosen) {
    std::array<int, size> times{};
    bool fits = true;
    Bytes bytes;
    Bytes expected(size);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto [from, length, hole] = chosen[i];
      const bool done = i + 1 == chosen.size();
      bytes = bytes + (hole ? Chunks().hole(1, 64 + from, length, done)
                            : Chunks().data(1, 64 + from, pattern(1, from, length), done));
      fits = fits && from + length <= size;
      for (std::uint32_t at = from; at < from + length && at < size; ++at) {
        ++times[at];
        expected[at] = hole ? std::byte{0} : pattern_at(1, at);
      }
    }
    for (const int count : times) fits = fits && count == 1;
    Decoding decoding(structured_replies);
    AwaitedReply& reply = decoding.expect(Command::read, 1, 64, size);
    decoding.feed(bytes);
    ASSERT_EQ(!decoding.is_broken, fits);
    if (!fits) return;
    ++good;
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), reply.data.begin()));
  };
  for (const Piece& a : pieces) {
    check({a});
    for (const Piece& b : pieces) {
      check({a, b});
      for (const Piece& c : pieces) check({a, b, c});
    }
  }
  EXPECT_EQ(good, 2U + 3 * 2 * 4 + 3 * 6 * 8) << "compositions of 4, orders, kinds";
}

}  // namespace
}  // namespace nbdring
