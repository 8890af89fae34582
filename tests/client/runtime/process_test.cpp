#include "client/runtime/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "client/runtime/timer.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

Process::Settings shell(const std::string& script) {
  Process::Settings settings;
  settings.arguments = {"sh", "-c", script};
  return settings;
}

bool is_readable(int fd, int timeout_ms) {
  pollfd set{fd, POLLIN, 0};
  return ::poll(&set, 1, timeout_ms) == 1;
}

bool ends(const Process& process, int timeout_ms = 10'000) {
  return is_readable(process.ended_fd(), timeout_ms) && process.has_ended();
}

// The other end of the child's standard input and output.
FileDescriptor connect_child(Process::Settings& settings) {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  settings.connection.reset(ends[1]);
  return FileDescriptor(ends[0]);
}

// What comes until the end, or until nothing comes for a while.
std::string text_from(const FileDescriptor& socket) {
  std::string text;
  std::array<char, 512> buffer;
  while (is_readable(socket.get(), 10'000)) {
    const ssize_t bytes = ::read(socket.get(), buffer.data(), buffer.size());
    if (bytes <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(bytes));
  }
  return text + " (no end)";
}

std::string output_of(Process::Settings settings) {
  const FileDescriptor near = connect_child(settings);
  const Process process(std::move(settings));
  return text_from(near);
}

TEST(Process, TellsTheLastLinesAndHowItEnded) {
  const Process process(
      shell("echo one >&2; echo 'no luck\033[2J' >&2; echo >&2; echo see --help >&2; exit 3"));
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "no luck?[2J; see --help (exit status 3)");
}

TEST(Process, TellsTheSignal) {
  const Process process(shell("kill -KILL $$"));
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "killed by signal 9");
}

TEST(Process, TellsWhatCannotBeStarted) {
  Process::Settings settings;
  settings.arguments = {"nbdring-no-such-program"};
  const FileDescriptor near = connect_child(settings);
  const Process process(std::move(settings));
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "cannot run nbdring-no-such-program: No such file or directory");
  EXPECT_EQ(text_from(near), "");

  Process::Settings nowhere = shell("true");
  nowhere.directory = "/nbdring-no-such-folder";
  const Process other(std::move(nowhere));
  ASSERT_TRUE(ends(other));
  EXPECT_EQ(other.last_words(), "cannot run sh: No such file or directory");
}

TEST(Process, KeepsTheEndOfMuchOutput) {
  const Process process(shell("seq 100000 >&2; echo the end >&2"));
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "100000; the end (exit status 0)");
}

TEST(Process, ItsConnectionIsStandardInputAndOutput) {
  Process::Settings settings = shell("read line; echo got $line; pwd");
  settings.directory = "/usr";
  const FileDescriptor near = connect_child(settings);
  const Process process(std::move(settings));
  ASSERT_EQ(::write(near.get(), "x\n", 2), 2);
  EXPECT_EQ(text_from(near), "got x\n/usr\n");
}

TEST(Process, WhoSeesTheEndFindsTheLastWords) {
  for (int i = 0; i < 50; ++i) {
    Process::Settings settings = shell("echo words >&2; exit 1");
    const FileDescriptor near = connect_child(settings);
    const Process process(std::move(settings));
    EXPECT_EQ(text_from(near), "");
    EXPECT_EQ(process.last_words(), "words (exit status 1)");
  }
}

TEST(Process, InheritsNothingOfOurs) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto handler = ::signal(SIGPIPE, SIG_IGN);
  ::setenv("NOTIFY_SOCKET", "/x", 1);
  ::setenv("LISTEN_FDS", "7", 1);
  int inherited[2];
  ASSERT_EQ(::pipe(inherited), 0);  // not close-on-exec
  const std::string text = output_of(shell(
      "echo $(ls /proc/self/fd | wc -l) $NOTIFY_SOCKET $LISTEN_FDS;"
      "grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '0\\n\\t'; cut -d ' ' -f 6 /proc/$$/stat;"
      "echo $$"));
  ::close(inherited[0]);
  ::close(inherited[1]);
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("LISTEN_FDS");
  ::signal(SIGPIPE, handler);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // 0, 1, 2 and the folder that ls reads (the pipe to wc is its 1)
  ASSERT_TRUE(text.starts_with("4\nSigBlk:SigIgn:")) << text;
  const std::string rest = text.substr(std::strlen("4\nSigBlk:SigIgn:"));
  const std::size_t newline = rest.find('\n');
  EXPECT_EQ(rest.substr(0, newline) + "\n", rest.substr(newline + 1)) << "its own session";
}

TEST(Process, TerminatesTheWholeGroup) {
  Process::Settings settings = shell("sleep 60 & sleep 60; true");
  const FileDescriptor near = connect_child(settings);
  const auto begin = Clock::now();
  {
    Process process(std::move(settings));
    EXPECT_FALSE(is_readable(near.get(), 50));
  }
  // Both sleeps held the connection.
  EXPECT_EQ(text_from(near), "");
  EXPECT_LT(Clock::now() - begin, milliseconds(4000));
}

TEST(Process, KillsWhatDoesNotTerminate) {
  Process::Settings settings = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
  settings.grace = milliseconds(200);
  const FileDescriptor near = connect_child(settings);
  Process process(std::move(settings));
  ASSERT_TRUE(is_readable(near.get(), 10'000));
  process.terminate();
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "killed by signal 9");
}

TEST(Process, EndsWhenItsConnectionIsLeft) {
  Process::Settings settings = shell("echo ready; sleep 60");
  settings.grace = milliseconds(100);
  FileDescriptor near = connect_child(settings);
  const Process process(std::move(settings));
  ASSERT_TRUE(is_readable(near.get(), 10'000));
  EXPECT_FALSE(process.has_ended());
  near.reset();
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(process.last_words(), "killed by signal 15");
}

TEST(Process, SignalsWhatItLeavesBehind) {
  Process::Settings settings = shell("sleep 60 & echo ready");
  const FileDescriptor near = connect_child(settings);
  const auto begin = Clock::now();
  const Process process(std::move(settings));
  EXPECT_EQ(text_from(near), "ready\n");
  EXPECT_LT(Clock::now() - begin, milliseconds(4000));
}

TEST(Process, PassesAListenerOnAsSystemdDoes) {
  Process::Settings settings =
      shell("echo $LISTEN_FDS $((LISTEN_PID - $$)) $LISTEN_FDNAMES; readlink /proc/$$/fd/3 >&2");
  settings.listener.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const FileDescriptor near = connect_child(settings);
  const Process process(std::move(settings));
  EXPECT_EQ(text_from(near), "1 0 nbd\n");
  EXPECT_TRUE(process.last_words().starts_with("socket:[")) << process.last_words();
}

// Memory's shortage must not end the server of a device, and may end a hook.
TEST(Process, OnlyWhatCarriesADeviceIsSheltered) {
  const auto set_score = [](const char* score) {
    const FileDescriptor file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    return ::write(file.get(), score, std::strlen(score)) > 0;
  };
  if (!set_score("-17")) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  const Process hook(shell("cat /proc/self/oom_score_adj >&2; exit 1"));
  const std::string carries = output_of(shell("cat /proc/self/oom_score_adj"));
  const bool ended = ends(hook);
  set_score("0");
  ASSERT_TRUE(ended);
  EXPECT_EQ(carries, "-17\n");
  EXPECT_EQ(hook.last_words(), "0 (exit status 1)");
}

TEST(Process, LeavesNoZombie) {
  for (int i = 0; i < 5; ++i) {
    const Process process(shell("exit 0"));
    ASSERT_TRUE(ends(process));
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace nbdring
