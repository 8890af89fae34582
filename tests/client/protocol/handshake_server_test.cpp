#include "client/protocol/handshake_server.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/client/protocol/handshake_messages.hpp"

namespace nbdring {
namespace {

using State = ServerHandshake::State;

std::string type_name(std::uint32_t type) {
  switch (type) {
    case nbd::rep_ack:
      return "ACK";
    case nbd::rep_server:
      return "SERVER";
    case nbd::rep_info:
      return "INFO";
    case nbd::rep_meta_context:
      return "META_CONTEXT";
    case nbd::rep_err_unsup:
      return "ERR_UNSUP";
    case nbd::rep_err_invalid:
      return "ERR_INVALID";
    case nbd::rep_err_unknown:
      return "ERR_UNKNOWN";
    case nbd::rep_err_too_big:
      return "ERR_TOO_BIG";
    default:
      return std::to_string(type);
  }
}

struct Reply {
  std::uint32_t option;
  std::string type;
  std::string data;
};

std::vector<Reply> replies_in(const Bytes& output) {
  std::vector<Reply> replies;
  std::span<const std::byte> rest = output;
  while (!rest.empty()) {
    const auto header = read_struct<nbd::OptionReplyHeader>(rest);
    EXPECT_EQ(header.magic, nbd::option_reply_magic);
    rest = rest.subspan(sizeof header);
    const auto data = rest.first(header.length);
    replies.push_back({header.option, type_name(header.type),
                       std::string(reinterpret_cast<const char*>(data.data()), data.size())});
    rest = rest.subspan(header.length);
  }
  return replies;
}

std::string types_in(const Bytes& output) {
  std::string types;
  for (const auto& reply : replies_in(output)) types += (types.empty() ? "" : " ") + reply.type;
  return types;
}

// The answer to one option of a client that has said its flags.
ServerHandshake::Step answer(ServerHandshake& handshake, const Bytes& message) {
  if (handshake.wanted() == sizeof(Be32)) handshake.feed(client_flags());
  return handshake.feed(message);
}

std::string answer_types(const Bytes& message) {
  const Export about = disk();
  ServerHandshake handshake(about);
  return types_in(answer(handshake, message).output);
}

TEST(ServerHandshake, GreetsAsFixedNewstyle) {
  const Export about = disk();
  const ServerHandshake handshake(about);
  const Bytes greeting = handshake.greeting();
  const auto parsed = read_struct<nbd::Greeting>(greeting);
  ASSERT_EQ(greeting.size(), sizeof parsed);
  EXPECT_EQ(parsed.init_passwd, nbd::init_passwd);
  EXPECT_EQ(parsed.ihaveopt, nbd::ihaveopt);
  EXPECT_EQ(parsed.handshake_flags, nbd::flag_fixed_newstyle | nbd::flag_no_zeroes);
}

TEST(ServerHandshake, ExportNameBeginsTransmission) {
  for (const char* name : {"disk", ""}) {
    const Export about = disk();
    ServerHandshake handshake(about);
    const auto step = answer(handshake, option(nbd::opt_export_name, text(name)));
    EXPECT_EQ(step.state, State::transmission);
    ASSERT_EQ(step.output.size(), sizeof(nbd::ExportNameReply));
    const auto reply = read_struct<nbd::ExportNameReply>(step.output);
    EXPECT_EQ(reply.size, about.size);
    EXPECT_EQ(reply.transmission_flags, about.transmission_flags);
    EXPECT_EQ(handshake.chosen_name(), name);
    EXPECT_FALSE(handshake.transmission().structured_replies);
  }
}

TEST(ServerHandshake, ExportNameIsPaddedForClientsThatWantZeroes) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = handshake.feed(client_flags(0) + option(nbd::opt_export_name, text("disk")));
  EXPECT_EQ(step.state, State::transmission);
  ASSERT_EQ(step.output.size(), sizeof(nbd::ExportNameReply) + 124);
  EXPECT_TRUE(std::all_of(step.output.begin() + sizeof(nbd::ExportNameReply), step.output.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(ServerHandshake, UnknownExportNameEndsTheSession) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = answer(handshake, option(nbd::opt_export_name, text("other")));
  EXPECT_EQ(step.state, State::failed);
  EXPECT_TRUE(step.output.empty());
  EXPECT_EQ(step.reason, "no export named 'other'");
}

TEST(ServerHandshake, GoTellsTheExportAndBeginsTransmission) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = answer(
      handshake, option(nbd::opt_go, info_data("disk", {nbd::info_name, nbd::info_description})));
  EXPECT_EQ(step.state, State::transmission);
  EXPECT_EQ(handshake.chosen_name(), "disk");
  const auto replies = replies_in(step.output);
  ASSERT_EQ(types_in(step.output), "INFO INFO INFO INFO ACK");
  for (const auto& reply : replies) EXPECT_EQ(reply.option, nbd::opt_go);
  const auto info = read_struct<nbd::InfoExport>(std::as_bytes(std::span(replies[0].data)));
  EXPECT_EQ(info.type, nbd::info_export);
  EXPECT_EQ(info.size, about.size);
  EXPECT_EQ(info.transmission_flags, about.transmission_flags);
  const auto sizes = read_struct<nbd::InfoBlockSize>(std::as_bytes(std::span(replies[1].data)));
  EXPECT_EQ(sizes.type, nbd::info_block_size);
  EXPECT_EQ(sizes.minimum, 512u);
  EXPECT_EQ(sizes.preferred, 4096u);
  EXPECT_EQ(sizes.maximum, 65536u);
  EXPECT_EQ(replies[2].data, std::string("\0\1disk", 6));
  EXPECT_EQ(replies[3].data, std::string("\0\2a disk", 8));
}

TEST(ServerHandshake, InfoTellsTheSameAndGoesOn) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = answer(handshake, option(nbd::opt_info, info_data("")));
  EXPECT_EQ(step.state, State::more);
  EXPECT_EQ(types_in(step.output), "INFO INFO ACK");
}

TEST(ServerHandshake, UnknownOrMalformedInfoIsAnswered) {
  const Bytes good = info_data("disk", {nbd::info_block_size});
  EXPECT_EQ(answer_types(option(nbd::opt_go, info_data("other"))), "ERR_UNKNOWN");
  EXPECT_EQ(answer_types(option(nbd::opt_info, info_data("other"))), "ERR_UNKNOWN");
  EXPECT_EQ(answer_types(option(nbd::opt_go, info_data(std::string(4097, 'x')))), "ERR_TOO_BIG");
  EXPECT_EQ(answer_types(option(nbd::opt_go, good + text("x"))), "ERR_INVALID");
  for (std::size_t length = 0; length < good.size(); ++length) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(answer_types(option(nbd::opt_go, cut)), "ERR_INVALID") << length;
  }
}

TEST(ServerHandshake, ListNamesTheExport) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = answer(handshake, option(nbd::opt_list));
  const auto replies = replies_in(step.output);
  ASSERT_EQ(types_in(step.output), "SERVER ACK");
  EXPECT_EQ(replies[0].data, std::string("\0\0\0\4disk", 8));
  EXPECT_EQ(step.state, State::more);
}

TEST(ServerHandshake, AbortIsAcknowledged) {
  const Export about = disk();
  ServerHandshake handshake(about);
  const auto step = answer(handshake, option(nbd::opt_abort));
  EXPECT_EQ(step.state, State::ended);
  EXPECT_EQ(types_in(step.output), "ACK");
  EXPECT_EQ(step.reason, "");
}

TEST(ServerHandshake, OptionsThatWeLackAreUnsupported) {
  for (const std::uint32_t number :
       {nbd::opt_starttls, nbd::opt_extended_headers, 4u, 12u, 0u, UINT32_MAX}) {
    EXPECT_EQ(answer_types(option(number, text("some data"))), "ERR_UNSUP") << number;
  }
}

TEST(ServerHandshake, OptionsWithoutDataRefuseData) {
  EXPECT_EQ(answer_types(option(nbd::opt_list, text("x"))), "ERR_INVALID");
  EXPECT_EQ(answer_types(option(nbd::opt_structured_reply, text("x"))), "ERR_INVALID");
}

TEST(ServerHandshake, StructuredRepliesComeWithDontFragment) {
  const Export about = disk();
  ServerHandshake handshake(about);
  EXPECT_EQ(types_in(answer(handshake, option(nbd::opt_structured_reply)).output), "ACK");
  EXPECT_TRUE(handshake.transmission().structured_replies);
  const auto step = answer(handshake, option(nbd::opt_go, info_data("disk")));
  const auto replies = replies_in(step.output);
  const auto info = read_struct<nbd::InfoExport>(std::as_bytes(std::span(replies[0].data)));
  EXPECT_EQ(info.transmission_flags, about.transmission_flags | nbd::flag_send_df);
}

// --- Metadata contexts ---

struct MetaCase {
  std::uint32_t option;
  std::vector<std::string> queries;
  std::string types;
  bool selected;
};

TEST(ServerHandshake, MetaContexts) {
  const std::vector<MetaCase> cases{
      {nbd::opt_list_meta_context, {}, "META_CONTEXT ACK", false},
      {nbd::opt_list_meta_context, {"base:"}, "META_CONTEXT ACK", false},
      {nbd::opt_list_meta_context, {"base:allocation"}, "META_CONTEXT ACK", false},
      {nbd::opt_list_meta_context, {"qemu:dirty-bitmap:x"}, "ACK", false},
      {nbd::opt_list_meta_context, {"nocolon"}, "ERR_INVALID", false},
      {nbd::opt_set_meta_context, {}, "ACK", false},
      {nbd::opt_set_meta_context, {"base:"}, "ACK", false},
      {nbd::opt_set_meta_context, {"base:allocation"}, "META_CONTEXT ACK", true},
      {nbd::opt_set_meta_context,
       {"x-y:z", "base:allocation", "base:allocation"},
       "META_CONTEXT ACK",
       true},
      {nbd::opt_set_meta_context, {"base:allocation", ""}, "ERR_INVALID", false},
      {nbd::opt_set_meta_context, {"x:" + std::string(4095, 'y')}, "ERR_TOO_BIG", false},
  };
  for (const auto& [number, queries, types, selected] : cases) {
    const Export about = disk();
    ServerHandshake handshake(about);
    answer(handshake, option(nbd::opt_structured_reply));
    const auto step = answer(handshake, option(number, meta_data("disk", queries)));
    EXPECT_EQ(types_in(step.output), types) << number << " " << queries.size();
    EXPECT_EQ(handshake.transmission().base_allocation, selected);
  }
}

TEST(ServerHandshake, MetaContextHasItsIdOnlyWhenSet) {
  const Export about = disk();
  ServerHandshake handshake(about);
  answer(handshake, option(nbd::opt_structured_reply));
  const Bytes query = meta_data("", {"base:allocation"});
  const auto listed =
      replies_in(answer(handshake, option(nbd::opt_list_meta_context, query)).output);
  const auto set = replies_in(answer(handshake, option(nbd::opt_set_meta_context, query)).output);
  EXPECT_EQ(listed[0].data, std::string("\0\0\0\0base:allocation", 19));
  EXPECT_EQ(set[0].data, std::string("\0\0\0\1base:allocation", 19));
}

TEST(ServerHandshake, MetaContextsNeedStructuredRepliesAndTheExport) {
  const Bytes query = meta_data("disk", {"base:allocation"});
  EXPECT_EQ(answer_types(option(nbd::opt_set_meta_context, query)), "ERR_INVALID");
  EXPECT_EQ(answer_types(option(nbd::opt_list_meta_context, query)), "ERR_INVALID");
  const Export about = disk();
  ServerHandshake handshake(about);
  answer(handshake, option(nbd::opt_structured_reply));
  const Bytes other = meta_data("other", {"base:allocation"});
  EXPECT_EQ(types_in(answer(handshake, option(nbd::opt_set_meta_context, other)).output),
            "ERR_UNKNOWN");
}

TEST(ServerHandshake, SettingMetaContextsReplacesEvenWhenItFails) {
  const Export about = disk();
  ServerHandshake handshake(about);
  answer(handshake, option(nbd::opt_structured_reply));
  answer(handshake, option(nbd::opt_set_meta_context, meta_data("", {"base:allocation"})));
  ASSERT_TRUE(handshake.transmission().base_allocation);
  answer(handshake, option(nbd::opt_list_meta_context, meta_data("", {"malformed"})));
  EXPECT_TRUE(handshake.transmission().base_allocation);
  answer(handshake, option(nbd::opt_set_meta_context, meta_data("", {"malformed"})));
  EXPECT_FALSE(handshake.transmission().base_allocation);
}

}  // namespace
}  // namespace nbdring
