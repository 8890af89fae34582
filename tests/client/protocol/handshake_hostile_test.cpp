// Clients that break the rules, and bytes that arrive in any pieces.

#include "client/protocol/handshake_server.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/protocol/handshake_messages.hpp"

namespace nbdring {
namespace {

using State = ServerHandshake::State;

std::string failure(const Bytes& input, const HandshakeLimits& limits = {}) {
  const Export about = disk();
  ServerHandshake handshake(about, limits);
  const auto step = handshake.feed(input);
  EXPECT_EQ(step.state, State::failed);
  EXPECT_EQ(handshake.wanted(), 0u);
  return step.reason;
}

TEST(ServerHandshake, FailsWithOneClearLine) {
  EXPECT_EQ(failure(client_flags(0x10)), "unknown client flags 0x10");
  EXPECT_EQ(failure(client_flags() + text("GET / HTTP/1.1\r\n\r\n")),
            "an option begins with 0x474554202f204854 instead of IHAVEOPT");
  EXPECT_EQ(failure(client_flags() + option_header(7, 70000)),
            "option 7 carries 70000 bytes, more than 65536");
  EXPECT_EQ(failure(client_flags() + option_header(1, UINT32_MAX)),
            "option 1 carries 4294967295 bytes, more than 65536");
  EXPECT_EQ(failure(client_flags(0) + option(nbd::opt_list)),
            "option 3 from a client that did not agree on fixed newstyle");
  EXPECT_EQ(failure(client_flags() + option(nbd::opt_export_name, text(std::string(5000, 'x')))),
            "no export named '" + std::string(64, 'x') + "' (shortened)");
}

TEST(ServerHandshake, FailsWhenOptionsHaveNoEnd) {
  Bytes input = client_flags();
  for (int i = 0; i < 4; ++i) input = input + option(nbd::opt_list);
  EXPECT_EQ(failure(input, HandshakeLimits{3, 1000}),
            "too many options: 4 with 64 bytes, without choosing an export");
  EXPECT_EQ(failure(client_flags() + option_header(99, 1000), HandshakeLimits{3, 1000}),
            "too many options: 1 with 1016 bytes, without choosing an export");
}

TEST(ServerHandshake, AcceptsAnOptionUpToTheLimit) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = handshake.feed(client_flags() + option(99, Bytes(nbd::option_bytes_max)));
  EXPECT_EQ(step.state, State::more);
  EXPECT_EQ(read_struct<nbd::OptionReplyHeader>(step.output).type, nbd::rep_err_unsup);
}

TEST(ServerHandshake, FeedingAfterTheEndIsAProgrammersError) {
  const Export about = disk();
  ServerHandshake handshake(about);
  handshake.feed(client_flags() + option(nbd::opt_abort));
  EXPECT_DEATH(handshake.feed(option(nbd::opt_list)), "internal error");
}

TEST(ServerHandshake, AnUnsoundExportIsAProgrammersError) {
  Export about = disk();
  about.block_size.minimum = 3;
  EXPECT_DEATH(ServerHandshake{about}, "internal error");
}

// --- Pieces ---

struct Outcome {
  std::size_t consumed = 0;
  Bytes output;
  State state = State::more;
  std::string reason;
  bool structured = false;
  bool allocation = false;
  bool operator==(const Outcome&) const = default;
};

Outcome feed_pieces(const Bytes& input, const std::vector<std::size_t>& cuts) {
  const Export about = disk();
  ServerHandshake handshake(about);
  Outcome outcome;
  std::size_t begin = 0;
  for (std::size_t cut : cuts) {
    if (outcome.state != State::more) break;
    const auto step = handshake.feed(std::span(input).subspan(begin, cut - begin));
    outcome.consumed += step.consumed;
    outcome.output = outcome.output + step.output;
    outcome.state = step.state;
    outcome.reason = step.reason;
    begin = cut;
  }
  outcome.structured = handshake.transmission().structured_replies;
  outcome.allocation = handshake.transmission().base_allocation;
  return outcome;
}

std::vector<std::size_t> every_byte(std::size_t size) {
  std::vector<std::size_t> cuts;
  for (std::size_t i = 1; i <= size; ++i) cuts.push_back(i);
  return cuts;
}

std::vector<Bytes> conversations() {
  const Bytes common = client_flags() + option(nbd::opt_structured_reply) + option(nbd::opt_list) +
                       option(99, text("???")) +
                       option(nbd::opt_set_meta_context, meta_data("disk", {"base:allocation"}));
  return {common + option(nbd::opt_go, info_data("disk", {nbd::info_name})) + text("requests"),
          common + option(nbd::opt_export_name, text("disk")) + text("requests"),
          common + option(nbd::opt_abort) + text("more"),
          common + option_header(7, 70000) + text("more"),
          client_flags(0x80) + text("more"),
          client_flags(0) + option(nbd::opt_export_name)};
}

TEST(ServerHandshake, EverySplitGivesTheSame) {
  for (const Bytes& input : conversations()) {
    const Outcome whole = feed_pieces(input, {input.size()});
    EXPECT_NE(whole.state, State::more);
    EXPECT_EQ(feed_pieces(input, every_byte(input.size())), whole);
    for (std::size_t cut = 0; cut <= input.size(); ++cut) {
      EXPECT_EQ(feed_pieces(input, {cut, input.size()}), whole) << cut;
    }
  }
}

TEST(ServerHandshake, TakesNothingOfTheTransmissionPhase) {
  const Bytes hello = client_flags() + option(nbd::opt_go, info_data("disk"));
  EXPECT_EQ(feed_pieces(hello + text("requests"), {hello.size() + 8}).consumed, hello.size());
}

// What the front end does: it never receives more than wanted(), so it never reads a request.
TEST(ServerHandshake, WantedLeadsExactlyToTheEnd) {
  const Bytes hello = client_flags() + option(nbd::opt_structured_reply) +
                      option(nbd::opt_go, info_data("disk", {nbd::info_block_size}));
  const Export about = disk();
  ServerHandshake handshake(about);
  std::size_t position = 0;
  while (handshake.state() == State::more) {
    ASSERT_GT(handshake.wanted(), 0u);
    ASSERT_LE(position + handshake.wanted(), hello.size());
    const std::size_t wanted = handshake.wanted();
    EXPECT_EQ(handshake.feed(std::span(hello).subspan(position, wanted)).consumed, wanted);
    position += wanted;
  }
  EXPECT_EQ(position, hello.size());
  EXPECT_EQ(handshake.state(), State::transmission);
}

}  // namespace
}  // namespace nbdring
