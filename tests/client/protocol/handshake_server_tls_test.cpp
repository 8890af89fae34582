// STARTTLS, as the server sees it.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/protocol/handshake_server.hpp"
#include "tests/client/protocol/handshake_messages.hpp"

namespace nbdring {
namespace {

using State = ServerHandshake::State;

struct Handshake : ServerHandshake {
  explicit Handshake(const Export& about, TlsPolicy tls) : ServerHandshake(about, {}, tls) {
    feed(client_flags());
  }
  /// The type of the one reply to an option; 0 when there is none.
  std::uint32_t answer(std::uint32_t number, const Bytes& data = {}) {
    const auto step = feed(option(number, data));
    if (step.output.empty()) return 0;
    EXPECT_EQ(read_struct<nbd::OptionReplyHeader>(step.output).option, number);
    return read_struct<nbd::OptionReplyHeader>(step.output).type;
  }
  void start_tls() {
    EXPECT_EQ(answer(nbd::opt_starttls), nbd::rep_ack);
    EXPECT_EQ(state(), State::start_tls);
    EXPECT_EQ(wanted(), 0u);
    tls_started();
  }
};

TEST(ServerHandshakeTls, StartsWhereThePolicyHasIt) {
  for (const auto policy : {TlsPolicy::allow, TlsPolicy::require}) {
    const Export about = disk();
    Handshake handshake(about, policy);
    handshake.start_tls();
    EXPECT_TRUE(handshake.is_encrypted());
    EXPECT_EQ(handshake.wanted(), sizeof(nbd::OptionHeader));
    EXPECT_EQ(handshake.answer(nbd::opt_go, info_data("disk")), nbd::rep_info);
    EXPECT_EQ(handshake.state(), State::transmission);
  }
}

TEST(ServerHandshakeTls, AllowServesInClearToo) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::allow);
  EXPECT_EQ(handshake.answer(nbd::opt_go, info_data("disk")), nbd::rep_info);
  EXPECT_EQ(handshake.state(), State::transmission);
  EXPECT_FALSE(handshake.is_encrypted());
}

TEST(ServerHandshakeTls, RequireTellsNothingInClear) {
  const Export about = disk();
  for (const auto& [number, data] : std::vector<std::pair<std::uint32_t, Bytes>>{
           {nbd::opt_list, {}},
           {nbd::opt_info, info_data("disk")},
           {nbd::opt_info, info_data("other")},  // not even which names there are
           {nbd::opt_go, info_data("disk")},
           {nbd::opt_structured_reply, {}},
           {nbd::opt_set_meta_context, meta_data("disk", {"base:allocation"})},
           {nbd::opt_extended_headers, {}},
           {99, text("x")}}) {
    Handshake handshake(about, TlsPolicy::require);
    EXPECT_EQ(handshake.answer(number, data), nbd::rep_err_tls_reqd) << number;
    EXPECT_EQ(handshake.state(), State::more);
    EXPECT_FALSE(handshake.transmission().structured_replies);
  }
}

TEST(ServerHandshakeTls, RequireEndsWithExportNameAndWithAbort) {
  const Export about = disk();
  Handshake named(about, TlsPolicy::require);
  const auto step = named.feed(option(nbd::opt_export_name, text("disk")));
  EXPECT_EQ(step.state, State::failed);
  EXPECT_TRUE(step.output.empty());
  EXPECT_EQ(step.reason, "it asked for an export without TLS, which is required");

  Handshake aborted(about, TlsPolicy::require);
  EXPECT_EQ(aborted.answer(nbd::opt_abort), nbd::rep_ack);
  EXPECT_EQ(aborted.state(), State::ended);
}

TEST(ServerHandshakeTls, ASecondTimeIsInvalid) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::require);
  handshake.start_tls();
  EXPECT_EQ(handshake.answer(nbd::opt_starttls), nbd::rep_err_invalid);
  EXPECT_EQ(handshake.state(), State::more);
}

TEST(ServerHandshakeTls, TakesNoData) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::allow);
  EXPECT_EQ(handshake.answer(nbd::opt_starttls, text("x")), nbd::rep_err_invalid);
  EXPECT_EQ(handshake.state(), State::more);
}

TEST(ServerHandshakeTls, WhatWasAgreedInClearIsForgotten) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::allow);
  handshake.answer(nbd::opt_structured_reply);
  handshake.answer(nbd::opt_set_meta_context, meta_data("disk", {"base:allocation"}));
  ASSERT_TRUE(handshake.transmission().base_allocation);
  handshake.start_tls();
  EXPECT_FALSE(handshake.transmission().structured_replies);
  EXPECT_FALSE(handshake.transmission().base_allocation);
}

TEST(ServerHandshakeTls, NothingBehindStarttlsIsTaken) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::allow);
  const Bytes starttls = option(nbd::opt_starttls);
  const auto step = handshake.feed(starttls + option(nbd::opt_go, info_data("disk")));
  EXPECT_EQ(step.state, State::start_tls);
  EXPECT_EQ(step.consumed, starttls.size());
}

TEST(ServerHandshakeTls, StartedWithoutBeingAskedIsAProgrammersError) {
  const Export about = disk();
  Handshake handshake(about, TlsPolicy::allow);
  EXPECT_DEATH(handshake.tls_started(), "internal error");
}

}  // namespace
}  // namespace nbdring
