#include "cli/root_device.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string own_command_line() {
  std::ifstream file("/proc/self/cmdline");
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

TEST(RootDevice, TheMarkIsSeenFromOutside) {
  const char first = *program_invocation_name;
  const std::string before = own_command_line();
  ASSERT_NE(first, '@');
  mark_for_final_kill();
  EXPECT_EQ(own_command_line(), "@" + before.substr(1));
  *program_invocation_name = first;
}

TEST(RootDevice, InOurOwnRootAProgramIsWhatItIsHere) {
  EXPECT_EQ(program_in_root_of(::getpid(), "/opt/nbdring"), "/opt/nbdring");
}

TEST(RootDevice, AProcessThatIsGoneIsSaid) {
  EXPECT_THROW(program_in_root_of(1 << 22, "/opt/nbdring"), Failure);
}

}  // namespace
}  // namespace nbdring
