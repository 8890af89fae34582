// Servers that keep the rules: what is sent to them, in which order, and what is learnt.

#include "client/protocol/handshake_client.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/protocol/handshake_names.hpp"
#include "client/protocol/handshake_server.hpp"
#include "tests/client/protocol/handshake_replies.hpp"

namespace nbdring {
namespace {

using State = ClientHandshake::State;
using Goal = ClientHandshakeOptions::Goal;

ClientHandshakeOptions wish(Goal goal = Goal::go, TlsPolicy tls = TlsPolicy::off) {
  return {goal, "disk", tls};
}

// The names of the options in what the client sent; its flags, too, while they are in front.
std::string options_in(const Bytes& output) {
  std::string names;
  std::span<const std::byte> rest = output;
  while (!rest.empty()) {
    if (rest.size() >= 8 && read_struct<Be64>(rest) == nbd::ihaveopt) {
      const auto header = read_struct<nbd::OptionHeader>(rest);
      names += (names.empty() ? "" : " ") + option_name(header.option);
      rest = rest.subspan(sizeof header + header.length);
    } else if (read_struct<Be32>(rest) == nbd::request_magic) {
      names += " disc";
      rest = rest.subspan(sizeof(nbd::RequestHeader));
    } else {
      names += "flags" + std::to_string(read_struct<Be32>(rest));
      rest = rest.subspan(sizeof(Be32));
    }
  }
  return names;
}

// What a server's bytes lead to; its TLS, if it comes to that, is taken to work.
struct Outcome {
  State state = State::more;
  Bytes output;
  std::size_t consumed = 0;
  std::string reason;
  bool operator==(const Outcome&) const = default;
};

Outcome play(ClientHandshake& handshake, const Bytes& server, std::size_t piece = SIZE_MAX,
             std::size_t first_piece = 0) {
  Outcome outcome;
  while (handshake.state() == State::more && outcome.consumed < server.size()) {
    const std::size_t left = server.size() - outcome.consumed;
    const std::size_t size = outcome.consumed == 0 && first_piece > 0 ? first_piece : piece;
    const auto input = std::span(server).subspan(outcome.consumed, std::min(left, size));
    auto step = handshake.feed(input);
    outcome.consumed += step.consumed;
    outcome.output = outcome.output + step.output;
    if (step.state == State::start_tls) {
      EXPECT_EQ(handshake.wanted(), 0u);
      step = handshake.tls_started();
      outcome.output = outcome.output + step.output;
    }
    EXPECT_EQ(step.state, handshake.state());
  }
  outcome.state = handshake.state();
  outcome.reason = handshake.reason();
  return outcome;
}

const Bytes go_of_everything =
    greeting() + reply(nbd::opt_starttls, nbd::rep_ack) +
    reply(nbd::opt_extended_headers, nbd::rep_err_unsup, text("what?")) +
    reply(nbd::opt_structured_reply, nbd::rep_ack) +
    reply(nbd::opt_set_meta_context, nbd::rep_meta_context, context(7, "base:allocation")) +
    reply(nbd::opt_set_meta_context, nbd::rep_ack) +
    reply(nbd::opt_go, nbd::rep_info, block_size_info(1, 65536, 1 << 20)) +
    reply(nbd::opt_go, nbd::rep_info, text_info(nbd::info_name, "the disk")) +
    reply(nbd::opt_go, nbd::rep_info, text_info(99, "from the future")) +
    reply(nbd::opt_go, nbd::rep_info, text_info(nbd::info_description, "a disk")) + told_size() +
    reply(nbd::opt_go, nbd::rep_ack);

TEST(ClientHandshake, GoesThroughEverything) {
  ClientHandshake handshake(wish(Goal::go, TlsPolicy::require));
  const auto outcome = play(handshake, go_of_everything + text("replies"));
  EXPECT_EQ(outcome.state, State::transmission) << outcome.reason;
  EXPECT_EQ(outcome.consumed, go_of_everything.size());
  EXPECT_EQ(options_in(outcome.output),
            "flags3 STARTTLS EXTENDED_HEADERS STRUCTURED_REPLY SET_META_CONTEXT GO");
  EXPECT_TRUE(handshake.is_encrypted());
  EXPECT_EQ(handshake.about().name, "the disk");
  EXPECT_EQ(handshake.about().description, "a disk");
  EXPECT_EQ(handshake.about().size, 1u << 20);
  EXPECT_EQ(handshake.about().transmission_flags, plain_flags);
  EXPECT_EQ(handshake.about().block_size.minimum, 1u);
  EXPECT_EQ(handshake.about().block_size.maximum, 1u << 20);
  EXPECT_TRUE(handshake.transmission().structured_replies);
  EXPECT_TRUE(handshake.transmission().base_allocation);
  EXPECT_FALSE(handshake.transmission().extended_headers);
  EXPECT_EQ(handshake.base_allocation_context(), 7u);
}

TEST(ClientHandshake, WhoKnowsSimpleRepliesOnlyIsPromisedNoOthers) {
  ClientHandshakeOptions options = wish();
  options.simple_replies = true;
  ClientHandshake handshake(options);
  const auto outcome = play(handshake, greeting() + told_size() + reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(outcome.state, State::transmission) << outcome.reason;
  EXPECT_EQ(options_in(outcome.output), "flags3 GO");
  EXPECT_FALSE(handshake.transmission().structured_replies);
}

TEST(ClientHandshake, SaysTheSameHoweverTheBytesArrive) {
  ClientHandshake whole(wish(Goal::go, TlsPolicy::require));
  const auto expected = play(whole, go_of_everything);
  for (std::size_t split = 1; split < go_of_everything.size(); ++split) {
    ClientHandshake handshake(wish(Goal::go, TlsPolicy::require));
    EXPECT_EQ(play(handshake, go_of_everything, SIZE_MAX, split), expected) << split;
  }
  ClientHandshake bytewise(wish(Goal::go, TlsPolicy::require));
  EXPECT_EQ(play(bytewise, go_of_everything, 1), expected);
}

TEST(ClientHandshake, NeverWantsMoreThanTheMessageUnderWay) {
  ClientHandshake handshake(wish());
  const Bytes server = greeting() + no_structured() + told_size() +
                       reply(nbd::opt_go, nbd::rep_ack) + text("the first reply");
  std::size_t taken = 0;
  while (handshake.state() == State::more) {
    const std::size_t wanted = handshake.wanted();
    ASSERT_GT(wanted, 0u);
    taken += handshake.feed(std::span(server).subspan(taken, wanted)).consumed;
  }
  EXPECT_EQ(handshake.state(), State::transmission);
  EXPECT_EQ(taken, server.size() - text("the first reply").size());
}

TEST(ClientHandshake, AsksForExactlyTheFourInformations) {
  ClientHandshake handshake(wish());
  const auto outcome = play(handshake, greeting() + no_structured());
  const Bytes query =
      option(nbd::opt_go, info_data("disk", {nbd::info_export, nbd::info_name,
                                             nbd::info_description, nbd::info_block_size}));
  const Bytes last(outcome.output.end() - static_cast<std::ptrdiff_t>(query.size()),
                   outcome.output.end());
  EXPECT_EQ(last, query);
}

TEST(ClientHandshake, PrefersExtendedHeaders) {
  ClientHandshake handshake(wish());
  const auto outcome = play(handshake, greeting() + reply(nbd::opt_extended_headers, nbd::rep_ack) +
                                           reply(nbd::opt_set_meta_context, nbd::rep_err_unsup) +
                                           told_size() + reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(options_in(outcome.output), "flags3 EXTENDED_HEADERS SET_META_CONTEXT GO");
  EXPECT_TRUE(handshake.transmission().extended_headers);
  EXPECT_TRUE(handshake.transmission().structured_replies);
  EXPECT_FALSE(handshake.transmission().base_allocation);
}

TEST(ClientHandshake, WithoutStructuredRepliesNoContextIsSet) {
  ClientHandshake handshake(wish());
  const auto outcome = play(
      handshake, greeting() + no_structured() + told_size() + reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(options_in(outcome.output), "flags3 EXTENDED_HEADERS STRUCTURED_REPLY GO");
  EXPECT_EQ(handshake.about().block_size.minimum, nbd::default_minimum_block);
  EXPECT_EQ(handshake.about().block_size.maximum, nbd::default_maximum_payload);
}

TEST(ClientHandshake, AllowGoesOnInClearWhereThereIsNoTls) {
  ClientHandshake handshake(wish(Goal::go, TlsPolicy::allow));
  const auto outcome =
      play(handshake, greeting() + reply(nbd::opt_starttls, nbd::rep_err_unsup) + no_structured() +
                          told_size() + reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(outcome.state, State::transmission);
  EXPECT_EQ(options_in(outcome.output), "flags3 STARTTLS EXTENDED_HEADERS STRUCTURED_REPLY GO");
  EXPECT_FALSE(handshake.is_encrypted());
}

TEST(ClientHandshake, DependentFlagsAreMasked) {
  const std::uint16_t flags = plain_flags | nbd::flag_send_fast_zero | nbd::flag_send_df |
                              nbd::flag_block_status_payload | 0x8000;
  ClientHandshake handshake(wish());
  play(handshake, greeting() + no_structured() +
                      reply(nbd::opt_go, nbd::rep_info, export_info(1 << 20, flags)) +
                      reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(handshake.state(), State::transmission) << handshake.reason();
  EXPECT_EQ(handshake.about().transmission_flags, plain_flags);
}

Bytes export_name_reply(std::size_t padding) {
  Bytes bytes;
  append_struct(bytes, nbd::ExportNameReply{1 << 20, plain_flags});
  return bytes + Bytes(padding);
}

TEST(ClientHandshake, ServersWithoutGoGetExportName) {
  for (const bool pads : {false, true}) {
    ClientHandshake handshake(wish());
    const std::uint16_t flags = nbd::flag_fixed_newstyle | (pads ? 0 : nbd::flag_no_zeroes);
    const auto outcome =
        play(handshake, greeting(flags) + no_structured() + reply(nbd::opt_go, nbd::rep_err_unsup) +
                            export_name_reply(pads ? 124 : 0) + text("more"));
    EXPECT_EQ(outcome.state, State::transmission) << outcome.reason;
    EXPECT_EQ(options_in(outcome.output), std::string("flags") + (pads ? "1" : "3") +
                                              " EXTENDED_HEADERS STRUCTURED_REPLY GO EXPORT_NAME");
    EXPECT_EQ(handshake.about().size, 1u << 20);
    EXPECT_EQ(handshake.about().name, "disk");
  }
}

TEST(ClientHandshake, NewstyleThatIsNotFixedHasOnlyExportName) {
  ClientHandshake handshake(wish(Goal::go, TlsPolicy::allow));
  const auto outcome = play(handshake, greeting(0) + export_name_reply(124));
  EXPECT_EQ(outcome.state, State::transmission) << outcome.reason;
  EXPECT_EQ(options_in(outcome.output), "flags0 EXPORT_NAME");

  ClientHandshake looking(wish(Goal::info));
  const auto looked = play(looking, greeting(0) + export_name_reply(124));
  EXPECT_EQ(looked.state, State::ended);
  EXPECT_EQ(options_in(looked.output), "flags0 EXPORT_NAME disc");
  ASSERT_EQ(looking.exports().size(), 1u);
  EXPECT_FALSE(looking.exports()[0].tells_block_size);
}

TEST(ClientHandshake, InfoLooksAndLeaves) {
  ClientHandshake handshake(wish(Goal::info));
  const auto outcome =
      play(handshake, greeting() + no_structured() + told_size(nbd::opt_info) +
                          reply(nbd::opt_info, nbd::rep_info, block_size_info(1, 512, 512)) +
                          reply(nbd::opt_info, nbd::rep_ack));
  EXPECT_EQ(outcome.state, State::ended);
  EXPECT_EQ(options_in(outcome.output), "flags3 EXTENDED_HEADERS STRUCTURED_REPLY INFO ABORT");
  ASSERT_EQ(handshake.exports().size(), 1u);
  EXPECT_TRUE(handshake.exports()[0].is_known);
  EXPECT_TRUE(handshake.exports()[0].tells_block_size);
  EXPECT_EQ(handshake.exports()[0].about.size, 1u << 20);
}

TEST(ClientHandshake, InfoThatTellsNoSizeIsFollowedByGo) {
  ClientHandshake handshake(wish(Goal::info));
  const auto outcome =
      play(handshake, greeting() + no_structured() +
                          reply(nbd::opt_info, nbd::rep_info, export_info(0, plain_flags)) +
                          reply(nbd::opt_info, nbd::rep_ack) + told_size() +
                          reply(nbd::opt_go, nbd::rep_ack));
  EXPECT_EQ(outcome.state, State::ended);
  EXPECT_EQ(options_in(outcome.output), "flags3 EXTENDED_HEADERS STRUCTURED_REPLY INFO GO disc");
  ASSERT_EQ(handshake.exports().size(), 1u);
  EXPECT_EQ(handshake.exports()[0].about.size, 1u << 20);
}

Bytes listed(std::string_view name, std::string_view description = "") {
  return reply(nbd::opt_list, nbd::rep_server, counted(name) + text(description));
}

TEST(ClientHandshake, ListAsksForEachExport) {
  ClientHandshake handshake(wish(Goal::list));
  const auto outcome =
      play(handshake,
           greeting() + no_structured() + listed("") + listed("a", "the first") + listed("b") +
               reply(nbd::opt_list, nbd::rep_ack) + told_size(nbd::opt_info) +
               reply(nbd::opt_info, nbd::rep_ack) + reply(nbd::opt_info, nbd::rep_err_policy) +
               told_size(nbd::opt_info) +
               reply(nbd::opt_info, nbd::rep_info, text_info(nbd::info_description, "the second")) +
               reply(nbd::opt_info, nbd::rep_ack));
  EXPECT_EQ(outcome.state, State::ended) << outcome.reason;
  EXPECT_EQ(options_in(outcome.output),
            "flags3 EXTENDED_HEADERS STRUCTURED_REPLY LIST INFO INFO INFO ABORT");
  const auto& exports = handshake.exports();
  ASSERT_EQ(exports.size(), 3u);
  EXPECT_TRUE(exports[0].is_known);
  EXPECT_FALSE(exports[1].is_known);
  EXPECT_EQ(exports[1].description, "the first");
  EXPECT_EQ(exports[2].description, "the second");
}

TEST(ClientHandshake, ListWithoutInfoNamesThemOnly) {
  ClientHandshake handshake(wish(Goal::list));
  const auto outcome = play(handshake, greeting() + no_structured() + listed("a") + listed("b") +
                                           reply(nbd::opt_list, nbd::rep_ack) +
                                           reply(nbd::opt_info, nbd::rep_err_unsup));
  EXPECT_EQ(outcome.state, State::ended);
  EXPECT_EQ(handshake.exports().size(), 2u);
  EXPECT_FALSE(handshake.exports()[0].is_known);
}

TEST(ClientHandshake, ListDoesNotAskForEverOnASmallBudget) {
  ClientHandshakeLimits limits;
  limits.asked_max = 1;
  ClientHandshake few(wish(Goal::list), limits);
  const Bytes server = greeting() + no_structured() + listed("a") + listed("b") +
                       reply(nbd::opt_list, nbd::rep_ack) + told_size(nbd::opt_info) +
                       reply(nbd::opt_info, nbd::rep_ack);
  EXPECT_EQ(play(few, server).state, State::ended);
  limits.total_bytes_max = static_cast<std::uint32_t>(2 * server.size() - 140);
  ClientHandshake none(wish(Goal::list), limits);
  const auto outcome = play(none, server);
  EXPECT_EQ(outcome.state, State::ended) << outcome.reason;
  EXPECT_FALSE(none.exports()[0].is_known);
}

// --- Against our own server ---

struct Peers {
  TlsPolicy server;
  TlsPolicy client;
  State state;
  bool encrypted;
};

State meet(ServerHandshake& server, ClientHandshake& client) {
  Bytes to_client = server.greeting();
  while (client.state() == State::more && !to_client.empty()) {
    auto step = client.feed(to_client);
    if (server.state() != ServerHandshake::State::more) break;
    const auto answer = server.feed(step.output);
    to_client = answer.output;
    if (answer.state != ServerHandshake::State::start_tls) continue;
    EXPECT_EQ(client.feed(to_client).state, State::start_tls);
    server.tls_started();
    to_client = server.feed(client.tls_started().output).output;
  }
  return client.state();
}

TEST(ClientHandshake, MeetsOurServerInEachPolicy) {
  const auto off = TlsPolicy::off;
  const auto allow = TlsPolicy::allow;
  const auto require = TlsPolicy::require;
  for (const auto& [has, wants, state, encrypted] :
       std::vector<Peers>{{off, off, State::transmission, false},
                          {off, allow, State::transmission, false},
                          {off, require, State::failed, false},
                          {allow, off, State::transmission, false},
                          {allow, allow, State::transmission, true},
                          {allow, require, State::transmission, true},
                          {require, off, State::failed, false},
                          {require, allow, State::transmission, true},
                          {require, require, State::transmission, true}}) {
    const Export about = disk();
    ServerHandshake server(about, {}, has);
    ClientHandshake client(wish(Goal::go, wants));
    EXPECT_EQ(meet(server, client), state) << static_cast<int>(has) << static_cast<int>(wants);
    EXPECT_EQ(client.is_encrypted(), encrypted);
    if (state == State::failed) {
      EXPECT_EQ(client.failure_kind(), FailureKind::refused);
      continue;
    }
    EXPECT_EQ(client.about().size, about.size);
    EXPECT_EQ(client.about().description, about.description);
    EXPECT_TRUE(client.transmission().base_allocation);
    EXPECT_TRUE(server.transmission().base_allocation);
  }
}

}  // namespace
}  // namespace nbdring
