#include "cli/keeper.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "cli/signals.hpp"
#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

class NotingAnnouncer final : public Announcer {
 public:
  void ready(const std::string& line, const std::string& log_path) override {
    if (is_gone) throw Failure(FailureKind::failed, "gone");
    said = line + "|" + log_path;
  }
  void leave() noexcept override {}
  std::string said;
  bool is_gone = false;
};

// In a child of the test: a keeper locks its memory and blocks signals.
int exit_code_of(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int keep(const EngineWork& work, NotingAnnouncer& announcer) {
  Log log(LogLevel::error, LogFormat::text);
  try {
    return run_keeper(work, KeeperState(), announcer, log);
  } catch (const Failure& failure) {
    return 100 + static_cast<int>(failure.kind());
  }
}

TEST(KeeperOfADevice, EndsAsAnEngineThatHasNoDevice) {
  const auto code = exit_code_of([] {
    NotingAnnouncer announcer;
    const int result = keep(
        [](EngineLink& link) {
          link.ready("/dev/nbd7", "/dev/null");
          link.over();
          return 5;
        },
        announcer);
    return announcer.said == "/dev/nbd7|/dev/null" ? result : 77;
  });
  EXPECT_EQ(code, 5);
}

TEST(KeeperOfADevice, FailsInTheWordsOfAnEngineThatDidNotBecomeReady) {
  const auto code = exit_code_of([] {
    NotingAnnouncer announcer;
    return keep([](EngineLink&) -> int { throw Failure(FailureKind::not_found, "no such file"); },
                announcer);
  });
  EXPECT_EQ(code, 100 + static_cast<int>(FailureKind::not_found));
}

TEST(KeeperOfADevice, DiesOfTheSignalOfAnEngineThatDidNotBecomeReady) {
  const auto code = exit_code_of([] {
    NotingAnnouncer announcer;
    return keep([](EngineLink&) -> int { return ::raise(SIGKILL); }, announcer);
  });
  EXPECT_EQ(code, -SIGKILL);
}

TEST(KeeperOfADevice, TellsAnEngineThatNobodyWantsItAnyMore) {
  const auto code = exit_code_of([] {
    NotingAnnouncer announcer;
    announcer.is_gone = true;
    return keep(
        [](EngineLink& link) {
          link.ready("/dev/nbd7", "/dev/null");
          return 0;
        },
        announcer);
  });
  EXPECT_NE(code, 0);
}

TEST(KeeperOfADevice, PassesItsSignalsOn) {
  const auto code = exit_code_of([] {
    NotingAnnouncer announcer;
    return keep(
        [](EngineLink& link) {
          TerminationSignals signals;
          link.ready("/dev/nbd7", "/dev/null");
          ::kill(::getppid(), SIGINT);
          for (int i = 0; i < 500; ++i) {
            if (const int signal = signals.take()) return signal;
            ::usleep(10'000);
          }
          return 0;
        },
        announcer);
  });
  EXPECT_EQ(code, SIGTERM);
}

TEST(EngineLink, FindsWhatItHasKept) {
  auto sockets = Channel::make_sockets();
  Channel keeper(std::move(sockets[0]));
  EngineLink::Start start;
  start.channel = std::move(sockets[1]);
  start.keeper = 1;
  EngineLink link(std::move(start));
  EXPECT_FALSE(link.find("memory").has_value());
  link.keep("memory", STDOUT_FILENO);
  EXPECT_TRUE(link.find("memory").has_value());
  const auto message = keeper.take();
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->word + " " + message->text, "keep memory");
  EXPECT_EQ(message->descriptors.size(), 1U);
  link.start_afresh();
  EXPECT_FALSE(link.find("memory").has_value());
}

TEST(EngineLink, SaysOnceThatItsKeeperHasDied) {
  auto sockets = Channel::make_sockets();
  Channel keeper(std::move(sockets[0]));
  EngineLink::Start start;
  start.channel = std::move(sockets[1]);
  start.keeper = 1;
  EngineLink link(std::move(start));
  keeper.send("ping");
  EXPECT_TRUE(link.attend());
  EXPECT_EQ(keeper.take()->word, "pong");
  keeper = Channel(FileDescriptor());
  EXPECT_FALSE(link.attend());
  EXPECT_TRUE(link.attend());
  EXPECT_THROW(link.keep("memory", STDOUT_FILENO), Failure);
}

TEST(EngineLink, AnswersPingsWhileItWaitsForAnAnswer) {
  auto sockets = Channel::make_sockets();
  Channel keeper(std::move(sockets[0]));
  EngineLink::Start start;
  start.channel = std::move(sockets[1]);
  start.keeper = 1;
  EngineLink link(std::move(start));
  keeper.send("ping");
  keeper.send("prepared", "0.2.0");
  const auto answer = link.ask("upgrade", "/usr/bin/nbdring", {}, {"prepared", "refused"},
                               Deadline::in(std::chrono::seconds(5)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->text, "0.2.0");
  EXPECT_EQ(keeper.take()->word, "upgrade");
  EXPECT_EQ(keeper.take()->word, "pong");
}

// The program that is gone on to is a shell here, which looks at what it was given.
TEST(Passing, GoesOnToAnotherProgramWithWhatThereIs) {
  const TemporaryFolder folder;
  const auto sockets = Channel::make_sockets();
  Passed passed;
  passed.state.restarts = 3;
  passed.state.kept["memory"] = duplicate(STDOUT_FILENO);
  passed.partner = 17;
  passed.channel = duplicate(sockets[0].get());
  const std::string kept = std::to_string(passed.state.kept["memory"].get());
  const std::string script = folder / "program";
  std::ofstream(script) << "#!/bin/sh\nstate=/proc/self/fd/$NBDRING_RESUME\n"
                        << "grep -q '\"restarts\":3' $state && grep -q '\"memory\":" << kept
                        << "' $state && test -e /proc/self/fd/" << kept << "\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Passage(script, passed).execute());
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(take_passed().has_value()) << "this program was started by nobody like that";
}

TEST(Passing, AProgramThatIsNotThereIsAnError) {
  const auto sockets = Channel::make_sockets();
  Passed passed;
  passed.channel = duplicate(sockets[0].get());
  Passage passage("/nowhere/nbdring", passed);
  EXPECT_EQ(passage.execute(), ENOENT);
}

TEST(Passing, WhatNobodyHasPassedOnIsRefused) {
  ::setenv("NBDRING_RESUME", "1", 1);
  EXPECT_THROW(take_passed(), Failure);
  EXPECT_EQ(std::getenv("NBDRING_RESUME"), nullptr);
}

}  // namespace
}  // namespace nbdring
