#include "cli/daemon.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

/// What the user's shell sees of a command that goes to the background.
struct Seen {
  int exit_code = -1;
  std::string output;  // standard output, read to its end
  std::string failure;
};

// The command runs in a child of the test, so that neither the engine nor its starter is the test's
// own process.
Seen run_command_of(const EngineMain& engine) {
  int output[2];
  int failure[2];
  EXPECT_EQ(::pipe(output) + ::pipe(failure), 0);
  const pid_t starter = ::fork();
  if (starter == 0) {
    ::dup2(output[1], STDOUT_FILENO);
    int code = 0;
    try {
      code = run_in_background(engine);
    } catch (const Failure& error) {
      const std::string text = error.what();
      [[maybe_unused]] const ssize_t count = ::write(failure[1], text.data(), text.size());
      code = static_cast<int>(error.kind());
    }
    ::_exit(code);
  }
  ::close(output[1]);
  ::close(failure[1]);
  const auto read_to_end = [](int fd) {
    std::string text;
    char bytes[512];
    for (ssize_t count = 0; (count = ::read(fd, bytes, sizeof bytes)) > 0;)
      text.append(bytes, count);
    ::close(fd);
    return text;
  };
  Seen seen;
  seen.output = read_to_end(output[0]);
  seen.failure = read_to_end(failure[0]);
  int status = 0;
  ::waitpid(starter, &status, 0);
  seen.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return seen;
}

TEST(Background, PrintsTheLineOfAnEngineThatIsReadyAndLetsTheShellGo) {
  const TemporaryFolder folder;
  const std::string still_there = folder / "still-there";
  const auto engine = [&](Announcer& announcer) {
    announcer.ready("/dev/nbd7", folder / "log");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::ofstream(still_there) << ::getsid(0) - ::getpid();
    return 0;
  };
  const Seen seen =
      run_command_of(engine);  // ends although the engine lives: its streams are closed
  EXPECT_EQ(seen.exit_code, 0);
  EXPECT_EQ(seen.output, "/dev/nbd7\n");
  EXPECT_FALSE(std::filesystem::exists(still_there));
  for (int i = 0; i < 100 && !std::filesystem::exists(still_there); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::string text;
  std::ifstream(still_there) >> text;
  EXPECT_EQ(text, "0") << "the engine leads a session of its own";
}

TEST(Background, FailsInTheWordsOfAnEngineThatFailed) {
  const Seen seen = run_command_of(
      [](Announcer&) -> int { throw Failure(FailureKind::busy, "/dev/nbd7 is in use"); });
  EXPECT_EQ(seen.exit_code, 3);
  EXPECT_EQ(seen.output, "");
  EXPECT_EQ(seen.failure, "/dev/nbd7 is in use");
}

TEST(Background, TellsOfAnEngineThatDied) {
  const Seen seen = run_command_of([](Announcer&) -> int { return ::raise(SIGKILL); });
  EXPECT_EQ(seen.exit_code, 1);
  EXPECT_NE(seen.failure.find("signal 9"), std::string::npos) << seen.failure;
}

TEST(Background, TheEngineKeepsNoDescriptorOfItsStarter) {
  const TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const int inherited = writing.get();
  const Seen seen = run_command_of([inherited, &folder](Announcer& announcer) {
    const bool is_open = ::fcntl(inherited, F_GETFD) >= 0 && inherited != 3;
    announcer.ready(is_open ? "open" : "closed", folder / "log");
    return 0;
  });
  EXPECT_EQ(seen.output, "closed\n");
}

}  // namespace
}  // namespace nbdring
