#include "packaging/pages/man_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "packaging/pages/completion.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Help help = read_help(R"(Do it: `nbdring x` and 'y'.

Usage: nbdring do [FILE]

.profile is a word with a full stop, of which there are so many here that one
is the first one of a line, .profile, .profile, .profile, .profile, .profile,
.profile .profile .profile

Options:
  -f, --file FILE          back\slash
      --tls POLICY         off, allow or require
      --layer NAME[=ARG]   a layer

Examples:
  nbdring do -f x
)");

std::string page() { return man_text({"nbdring-do", "do it", help, {}, {"nbdring(1)"}}, "9", "D"); }

TEST(ManPage, HasTheSectionsOfOne) {
  const std::string text = page();
  EXPECT_TRUE(text.starts_with(".TH NBDRING-DO 1 D \"nbdring 9\"\n"));
  std::size_t at = 0;
  for (const char* section :
       {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"}) {
    const std::size_t found = text.find(std::string(".SH ") + section + "\n");
    ASSERT_NE(found, std::string::npos) << section;
    EXPECT_GT(found, at);
    at = found;
  }
  EXPECT_THAT(text, HasSubstr("nbdring\\-do \\- do it\n"));
  EXPECT_THAT(text, HasSubstr(".BR nbdring (1)\n"));
}

TEST(ManPage, NothingOfTheTextIsTakenForAMacro) {
  const std::string text = page();
  EXPECT_THAT(text, HasSubstr("\\fBnbdring x\\fR and \\(aqy\\(aq."));
  EXPECT_THAT(text, HasSubstr("back\\eslash"));
  EXPECT_THAT(text, HasSubstr("\\fB\\-f\\fR, \\fB\\-\\-file\\fR \\fIFILE\\fR"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_FALSE(line.starts_with(".profile")) << line;
    EXPECT_LE(line.size(), 80U) << line;
  }
}

TEST(Completion, KnowsWhatAValueMayBe) {
  const std::vector<CommandHelp> commands{{"", "", read_help("P.\n\nUsage: nbdring COMMAND\n")},
                                          {"do", "do it", help}};
  const std::string bash = bash_completion(commands, {"cow", "partition="});
  EXPECT_THAT(bash, HasSubstr("-f | --file) _nbdring_paths f; return"));
  EXPECT_THAT(bash, HasSubstr("--tls) COMPREPLY=($(compgen -W 'off allow require'"));
  EXPECT_THAT(bash, HasSubstr("compgen -W 'cow partition='"));
  EXPECT_THAT(bash, HasSubstr("compgen -W 'do'"));
  const std::string zsh = zsh_completion(commands, {"cow", "partition="});
  EXPECT_THAT(zsh, HasSubstr("'--file[back\\\\slash]:FILE:_files'"));
  EXPECT_THAT(zsh, HasSubstr("'*--layer[a layer]:NAME\\[=ARG\\]:(cow partition=)'"));
  EXPECT_THAT(zsh, Not(HasSubstr("@commands@")));
}

}  // namespace
}  // namespace nbdring
