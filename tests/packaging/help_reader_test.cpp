#include "packaging/pages/help_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/help.hpp"
#include "cli/options.hpp"

namespace nbdring {
namespace {

using ::testing::ElementsAre;
using Kind = HelpPart::Kind;

constexpr const char* text = R"(Do a thing; and
another.

Usage: nbdring thing WHAT
       nbdring thing --all

  WHAT                     what to do it to

Where (any of them), in more
than one line:
      --place NAME WITHOUT gap in front of this
      --a-very-long-name-of-an-option-here X  beside
                           and below

Options:
  -f, --force              do it
                           all the same

Said after it.

Examples:
  nbdring thing x
)";

TEST(HelpReader, TakesATextApart) {
  const Help help = read_help(text);
  EXPECT_THAT(help.synopsis, ElementsAre("nbdring thing WHAT", "nbdring thing --all"));
  ASSERT_EQ(help.parts.size(), 6U);
  EXPECT_EQ(help.parts[0].text, "Do a thing; and another.");
  EXPECT_EQ(help.parts[1].kind, Kind::list);
  EXPECT_EQ(help.parts[1].entries[0].term, "WHAT");
  EXPECT_EQ(help.parts[2].heading, "Where (any of them), in more than one line:");
  EXPECT_EQ(help.parts[2].entries[1].term, "--a-very-long-name-of-an-option-here X");
  EXPECT_EQ(help.parts[2].entries[1].meaning, "beside and below");
  EXPECT_EQ(help.parts[3].entries[0].meaning, "do it all the same");
  EXPECT_EQ(help.parts[4].text, "Said after it.");
  EXPECT_EQ(help.parts[5].kind, Kind::verbatim);
  EXPECT_THAT(help.parts[5].lines, ElementsAre("  nbdring thing x"));
}

TEST(HelpReader, AValueThatReachesTheColumnIsPartOfTheTerm) {
  const auto options = options_in(read_help(
      "A.\n\nOptions:\n      --configuration NAME what it opens\n  -r, --read-only          x\n"));
  ASSERT_EQ(options.size(), 2U);
  EXPECT_THAT(options[0].names, ElementsAre("--configuration"));
  EXPECT_EQ(options[0].value, "NAME");
  EXPECT_EQ(options[0].meaning, "what it opens");
  EXPECT_THAT(options[1].names, ElementsAre("-r", "--read-only"));
  EXPECT_EQ(options[1].value, "");
}

// Whatever is accepted is on the pages and is completed.
TEST(HelpReader, FindsEveryOptionOfEveryCommand) {
  const auto commands = commands_in(read_help(help_text("")));
  EXPECT_GE(commands.size(), 12U);
  for (const HelpEntry& command : commands) {
    EXPECT_FALSE(command.meaning.empty()) << command.term;
    std::vector<std::string> found{"--help"};
    for (const HelpOption& option : options_in(read_help(help_text(command.term)))) {
      EXPECT_FALSE(option.meaning.empty()) << command.term << " " << option.names.back();
      found.push_back(option.names.back());
    }
    auto accepted = options_of(command.term);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    std::sort(accepted.begin(), accepted.end());
    EXPECT_EQ(found, accepted) << command.term;
  }
}

}  // namespace
}  // namespace nbdring
