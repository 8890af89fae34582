#include "cli/doctor.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace nbdring {
namespace {

const std::vector<Finding> fine{{Severity::ok, "kernel 6.12", ""}};
const std::vector<Finding> mixed{{Severity::ok, "kernel 6.12", ""},
                                 {Severity::note, "udev does not run", "no links"},
                                 {Severity::blocker, "attaching needs root", "run as root"}};

TEST(Doctor, SaysThatNothingIsInTheWay) {
  EXPECT_EQ(findings_text(fine, false), "Nothing stands in the way of attaching.\n");
  EXPECT_FALSE(has_blocker(fine));
}

TEST(Doctor, ShowsWhatIsFineOnlyWhenAsked) {
  EXPECT_EQ(findings_text(fine, true),
            "ok       kernel 6.12\n\nNothing stands in the way of attaching.\n");
}

TEST(Doctor, ShowsEachFindingWithItsAdvice) {
  EXPECT_EQ(findings_text(mixed, false), R"(note     udev does not run
         no links
BLOCKER  attaching needs root
         run as root

Nothing can be attached here: see BLOCKER above.
)");
  EXPECT_TRUE(has_blocker(mixed));
}

TEST(Doctor, BreaksLongLinesBetweenWords) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  std::istringstream lines(findings_text({{Severity::warning, words, words}}, false));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U);
    for (std::size_t at = 0; (at = line.find("word", at)) != std::string::npos; ++at) ++count;
  }
  EXPECT_EQ(count, 120U);
}

}  // namespace
}  // namespace nbdring
