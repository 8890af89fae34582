#include "kernel/spawn.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <array>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

TEST(RunCommand, TellsSuccess) {
  const CommandResult result = run_command({"true"}, Deadline::in(milliseconds(10'000)));
  EXPECT_TRUE(result.succeeded());
}

TEST(RunCommand, BringsExitStatusAndFirstLineOfStandardError) {
  const CommandResult result = run_command({"sh", "-c", "echo no luck >&2; echo more >&2; exit 3"},
                                           Deadline::in(milliseconds(10'000)));
  EXPECT_FALSE(result.succeeded());
  EXPECT_EQ(result.end, CommandResult::End::exited);
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.message, "no luck");
  EXPECT_EQ(result.words(), "no luck");
}

TEST(RunCommand, SaysWhenThereIsNoSuchProgram) {
  const CommandResult result =
      run_command({"nbdring-no-such-program"}, Deadline::in(milliseconds(10'000)));
  EXPECT_EQ(result.end, CommandResult::End::not_started);
  EXPECT_EQ(result.words(), "No such file or directory");
}

TEST(RunCommand, ReadsAndWritesTheGivenFiles) {
  const FileDescriptor input(memfd_create("input", MFD_CLOEXEC));
  const FileDescriptor output(memfd_create("output", MFD_CLOEXEC));
  ASSERT_EQ(pwrite(input.get(), "words", 5, 0), 5);
  const CommandResult result =
      run_command({"cat"}, Deadline::in(milliseconds(10'000)), {input.get(), output.get()});
  EXPECT_TRUE(result.succeeded());
  std::array<char, 16> read{};
  EXPECT_EQ(pread(output.get(), read.data(), read.size(), 0), 5);
  EXPECT_STREQ(read.data(), "words");
}

TEST(RunCommand, KillsWhatIsNotBackInTime) {
  const Deadline soon = Deadline::in(milliseconds(50));
  const CommandResult result = run_command({"sleep", "60"}, soon);
  EXPECT_EQ(result.end, CommandResult::End::timed_out);
  EXPECT_FALSE(result.succeeded());
  EXPECT_TRUE(soon.has_passed());
}

TEST(RunCommand, GivesTheProgramDefaultSignals) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const CommandResult result =
      run_command({"sh", "-c", "kill -TERM $$; sleep 60"}, Deadline::in(milliseconds(10'000)));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(result.end, CommandResult::End::killed);
  EXPECT_EQ(result.status, SIGTERM);
}

}  // namespace
}  // namespace nbdring
