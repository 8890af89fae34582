#include "cli/installed.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

TEST(Installed, ANoteForWhatIsMissing) {
  const TemporaryFolder root;
  for (const Finding& finding : installed_findings(root.path())) {
    EXPECT_EQ(finding.severity, Severity::note) << finding.title;
    EXPECT_FALSE(finding.advice.empty());
  }
}

TEST(Installed, FoundWhereSystemdAndUdevLook) {
  const TemporaryFolder root;
  const std::string rules = root.path() + "/usr/lib/udev/rules.d";
  const std::string generators = root.path() + "/etc/systemd/system-generators";
  for (const std::string& folder : {rules, generators}) {
    std::filesystem::create_directories(folder);
  }
  std::ofstream(rules + "/60-other.rules") << "x";
  EXPECT_EQ(installed_findings(root.path())[0].severity, Severity::note);
  std::ofstream(rules + "/61-nbdring.rules") << "x";
  std::ofstream(generators + "/nbdring-generator") << "x";
  for (const Finding& finding : installed_findings(root.path())) {
    EXPECT_EQ(finding.severity, Severity::ok) << finding.title;
  }
}

}  // namespace
}  // namespace nbdring
