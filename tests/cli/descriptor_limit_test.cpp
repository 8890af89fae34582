#include "cli/descriptor_limit.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

struct After {
  rlim_t soft = 0;
  std::string said;
};

// In a process of its own, for a hard limit cannot be raised again.
After after_need(rlimit before, std::size_t count) {
  const FileDescriptor said(::memfd_create("log", MFD_CLOEXEC));
  const FileDescriptor result(::memfd_create("result", MFD_CLOEXEC));
  const pid_t child = ::fork();
  if (child == 0) {
    Log log(LogLevel::warning, LogFormat::text, said.get());
    if (::setrlimit(RLIMIT_NOFILE, &before) != 0) ::_exit(1);
    need_descriptors(count, log);
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    ::_exit(::write(result.get(), &now.rlim_cur, sizeof now.rlim_cur) > 0 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  After after;
  EXPECT_EQ(::pread(result.get(), &after.soft, sizeof after.soft, 0),
            static_cast<ssize_t>(sizeof after.soft));
  std::string text(512, '\0');
  const ssize_t bytes = ::pread(said.get(), text.data(), text.size(), 0);
  after.said = text.substr(0, bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return after;
}

TEST(DescriptorLimit, IsRaisedToWhatIsNeeded) {
  const After after = after_need({100, 300}, 200);
  EXPECT_EQ(after.soft, 200U);
  EXPECT_EQ(after.said, "");
}

TEST(DescriptorLimit, IsLeftWhereItIsEnough) {
  const After after = after_need({250, 300}, 200);
  EXPECT_EQ(after.soft, 250U);
  EXPECT_EQ(after.said, "");
}

TEST(DescriptorLimit, AHardOneThatIsTooLowIsSaid) {
  const After after = after_need({100, 150}, 200);
  EXPECT_EQ(after.soft, 150U);
  EXPECT_NE(after.said.find("allowed=150"), std::string::npos) << after.said;
  EXPECT_NE(after.said.find("needed=200"), std::string::npos) << after.said;
}

TEST(DescriptorLimit, EveryClientCounts) {
  EXPECT_GT(descriptors_for(4096), 4096U * 8);
  EXPECT_LE(descriptors_for(64), 1024U);
}

}  // namespace
}  // namespace nbdring
