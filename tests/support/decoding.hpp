#pragma once
// A ReplyDecoder with the requests that it is asked about and memory for their answers; what
// happened, as a text that tests compare.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "client/protocol/reply_decoder.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/server_side.hpp"

namespace nbdring {

inline constexpr TransmissionOptions plain_replies{};
inline constexpr TransmissionOptions structured_replies{true, true};
inline constexpr TransmissionOptions extended_replies{false, true, true};
inline constexpr std::uint32_t decoding_context = 9;

// Requests with the memory for their answers, and a decoder over them. `said` is what happened.
class Decoding final : public AwaitedReplies {
 public:
  explicit Decoding(const TransmissionOptions& transmission)
      : decoder_(transmission, decoding_context, *this) {}

  AwaitedReply& expect(Command command, std::uint64_t cookie, std::uint64_t offset,
                       std::uint64_t length, std::size_t extents = 8) {
    Expected& expected = expected_.emplace_back();
    expected.data.assign(command == Command::read ? length : 0, std::byte{0xaa});
    expected.extents.resize(extents);
    AwaitedReply& reply = expected.reply;
    reply.cookie = cookie;
    reply.command = command;
    reply.offset = offset;
    reply.length = length;
    reply.data = expected.data;
    reply.extents = expected.extents;
    return reply;
  }

  AwaitedReply* find(std::uint64_t cookie) noexcept override {
    for (Expected& expected : expected_) {
      if (expected.reply.cookie == cookie && !expected.is_answered) return &expected.reply;
    }
    return nullptr;
  }

  void feed(std::span<const std::byte> input) {
    while (!is_broken) {
      const ReplyDecoder::Event event = decoder_.decode(input);
      if (event == ReplyDecoder::Event::more) {
        EXPECT_TRUE(input.empty());
        return;
      }
      if (event == ReplyDecoder::Event::broken) {
        is_broken = true;
        said += "broken: " + describe(decoder_.broken());
        return;
      }
      for (Expected& expected : expected_) {
        if (&expected.reply == &decoder_.answered()) note(expected);
      }
    }
  }
  /// As a connection does: data is received in its place.
  void feed_in_place(std::span<const std::byte> input) {
    const std::span<std::byte> rest = decoder_.data_rest();
    const std::size_t count = std::min(rest.size(), input.size());
    if (count > 0) {
      std::memcpy(rest.data(), input.data(), count);
      decoder_.data_received(count);
    }
    feed(input.subspan(count));
  }

  ReplyDecoder& decoder() { return decoder_; }
  std::string said;
  bool is_broken = false;

 private:
  struct Expected {
    AwaitedReply reply;
    Bytes data;
    std::vector<nbd::Extent> extents;
    bool is_answered = false;
  };

  void note(Expected& expected) {
    expected.is_answered = true;
    const AwaitedReply& reply = expected.reply;
    said += std::to_string(reply.cookie) + " error " + std::to_string(reply.error);
    if (reply.command == Command::read && reply.error == 0) {
      std::uint64_t sum = 0;
      for (const std::byte byte : expected.data) {
        sum = Random::mix(sum + std::to_integer<std::uint64_t>(byte) + 1);
      }
      said += " data " + std::to_string(sum);
    }
    for (std::size_t i = 0; i < reply.extents_used; ++i) {
      said += " " + std::to_string(reply.extents[i].length) + "/" +
              std::to_string(reply.extents[i].flags);
    }
    said += "; ";
  }

  ReplyDecoder decoder_;
  std::list<Expected> expected_;
};

using Questions = std::function<void(Decoding&)>;

inline std::string said_of(const TransmissionOptions& transmission, const Questions& questions,
                           const Bytes& bytes) {
  Decoding decoding(transmission);
  questions(decoding);
  decoding.feed(bytes);
  return decoding.said;
}

// However the bytes are cut, the same happens.
inline void expect_same_at_every_split(const TransmissionOptions& transmission,
                                       const Questions& questions, const Bytes& bytes,
                                       const std::string& said) {
  const std::span<const std::byte> all = bytes;
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    Decoding two(transmission);
    questions(two);
    two.feed(all.first(cut));
    two.feed_in_place(all.subspan(cut));
    ASSERT_EQ(two.said, said) << "cut at " << cut;
  }
  for (const std::size_t piece : {1U, 3U, 7U}) {
    Decoding many(transmission);
    questions(many);
    for (std::size_t at = 0; at < bytes.size() && !many.is_broken; at += piece) {
      many.feed_in_place(all.subspan(at, std::min(piece, bytes.size() - at)));
    }
    ASSERT_EQ(many.said, said) << "pieces of " << piece;
  }
}

}  // namespace nbdring
