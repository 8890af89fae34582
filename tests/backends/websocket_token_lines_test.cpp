#include "backends/websocket/token_lines.hpp"

#include <gmock/gmock.h>

#include "backends/websocket/token.hpp"
#include "backends/websocket/token_rights.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;

constexpr Day day_one = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);
const std::string head = "nbdring-tokens 1\n";
const std::string line_of_a = "valid 000000000000000a 2026-11-21 2026-11-28 AAAA\n";
const std::string line_of_b = "spent 000000000000000b 2026-11-21 - AAEC\n";

TokenLine line(TokenState state, const std::string& id, Day created, std::optional<Day> expires) {
  return {state, id, created, expires, {std::byte{1}}};
}

TEST(TokenLines, AreReadAsTheyWereWritten) {
  const TokenLines lines = parse_token_lines(head + line_of_a + line_of_b, "tokens");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].state, TokenState::valid);
  EXPECT_EQ(lines[0].created, day_one);
  EXPECT_EQ(lines[0].expires, day_one + std::chrono::days(7));
  EXPECT_EQ(lines[1].state, TokenState::spent);
  EXPECT_FALSE(lines[1].expires);
  EXPECT_EQ(lines[1].sealed, (std::vector{std::byte{0}, std::byte{1}, std::byte{2}}));
  EXPECT_EQ(format_token_lines(lines), head + line_of_a + line_of_b);
}

TEST(TokenLines, AnEmptyFileHasNone) { EXPECT_TRUE(parse_token_lines("", "tokens").empty()); }

TEST(TokenLines, WhatIsNoStoreIsRefusedWithItsLine) {
  const std::pair<std::string, const char*> wrong[] = {
      {"nbdring-tokens 2\n", "tokens:1:"},
      {"\n", "tokens:1:"},
      {head + "valid", "tokens:1:"},  // cut off: the last line has no end
      {head + "\n", "tokens:2:"},
      {head + "other 000000000000000a 2026-11-21 - AAAA\n", "tokens:2:"},
      {head + "valid 00000000000000A 2026-11-21 - AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000A 2026-11-21 - AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-02-30 - AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-1-21 - AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000a +026-11-21 - AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-11-21 never AAAA\n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-11-21 - \n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-11-21 - A+A=\n", "tokens:2:"},
      {head + "valid 000000000000000a 2026-11-21 - " + std::string(600, 'A') + "\n", "tokens:2:"},
      {head + line_of_a + line_of_a, "tokens:3:"},  // twice
      {head + line_of_b + line_of_a, "tokens:3:"},  // not in their order
  };
  for (const auto& [text, where] : wrong) {
    try {
      parse_token_lines(text, "tokens");
      ADD_FAILURE() << "taken: " << text;
    } catch (const Failure& failure) {
      EXPECT_THAT(failure.what(), HasSubstr(where)) << text;
    }
  }
}

TEST(TokenLines, StandInTheOrderOfTheirIds) {
  TokenLines lines;
  for (const char* id : {"000000000000000c", "000000000000000a", "000000000000000b"}) {
    add_line(lines, line(TokenState::valid, id, day_one, std::nullopt));
  }
  EXPECT_EQ(lines[0].id.back(), 'a');
  EXPECT_EQ(lines[2].id.back(), 'c');
  EXPECT_TRUE(remove_line(lines, TokenState::valid, "000000000000000b"));
  EXPECT_FALSE(remove_line(lines, TokenState::spent, "000000000000000a"));
  EXPECT_EQ(lines.size(), 2U);
}

TEST(TokenLines, AreKeptUntilTheirLastDayIsOver) {
  TokenLines lines;
  add_line(lines, line(TokenState::valid, "000000000000000a", day_one, std::nullopt));
  add_line(lines, line(TokenState::valid, "000000000000000b", day_one, day_one));
  prune_lines(lines, day_one);
  EXPECT_EQ(lines.size(), 2U);
  prune_lines(lines, day_one + std::chrono::days(1));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].id, "000000000000000a");
}

TEST(TokenLines, OfTooManySpentOnesTheOldestGo) {
  TokenLines lines;
  for (std::size_t i = 0; i < token_lines_max; ++i) {
    add_line(lines, line(TokenState::spent, Token::random().id, day_one, std::nullopt));
  }
  add_line(lines, line(TokenState::valid, "000000000000000a", day_one - std::chrono::days(9), {}));
  add_line(lines, line(TokenState::spent, "000000000000000b", day_one - std::chrono::days(1), {}));
  prune_lines(lines, day_one);
  EXPECT_EQ(count_lines(lines, TokenState::spent), token_lines_max);
  EXPECT_EQ(find_line(lines, TokenState::spent, "000000000000000b"), nullptr);
  EXPECT_NE(find_line(lines, TokenState::valid, "000000000000000a"), nullptr);
}

TEST(TokenText, IsTakenAsItIsGivenAndNoOtherWay) {
  const Token token = Token::random();
  ASSERT_TRUE(parse_token(token.text()));
  const std::string secret = token.text().substr(17);
  for (const std::string& wrong :
       {std::string(), token.id, token.id + ":", token.text('.'), ":" + secret,
        token.id + ":" + secret + "A", token.id + ":" + secret.substr(1), token.text() + "\n",
        token.id.substr(1) + ":" + secret, std::string(16, 'g') + ":" + secret}) {
    EXPECT_FALSE(parse_token(wrong)) << wrong;
  }
}

TEST(TokenRightsTexts, AreShortAndPrintable) {
  TokenRights rights;
  rights.configuration = std::string(token_configuration_bytes_max + 1, 'c');
  EXPECT_THROW(check_rights(rights), Failure);
  rights.configuration = "cellar";
  EXPECT_NO_THROW(check_rights(rights));
  rights.label = "two\nlines";
  EXPECT_THROW(check_rights(rights), Failure);
}

}  // namespace
}  // namespace nbdring
