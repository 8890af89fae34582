#include "cli/hooks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uid_t somebody = 1000;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class HooksTest : public testing::Test {
 public:
  FramePool& frames() { return loop_.frames(); }

 protected:
  HooksTest() {
    settings_.configuration = "cd";
    settings_.environment = {"NBDRING_DEVICE=/dev/nbd7", "HOME=/nowhere"};
    settings_.timeout = milliseconds(10'000);
    settings_.kill_grace = milliseconds(200);
  }

  std::string script(const std::string& name, const std::string& body, mode_t mode = 0755) {
    const std::string path = folder_ / name;
    std::ofstream(path) << "#!/bin/sh\nnotes=" << (folder_ / "notes") << "\n" << body << "\n";
    ::chmod(path.c_str(), mode);
    return path;
  }
  std::string noting(const std::string& name) {
    return script(name, "echo \"$(basename $0) $1 $2\" >>$notes");
  }
  std::string notes() { return text_of(folder_ / "notes"); }
  std::string logged() { return log_.text(); }

  Hooks make(std::vector<std::string> programs) {
    return Hooks(loop_, std::move(programs), settings_, log_.log());
  }
  std::string start(Hooks& hooks) {
    std::string failure;
    loop_.run(keep(hooks, failure));
    return failure;
  }
  Task<void> keep(Hooks& hooks, std::string& failure) { failure = co_await hooks.start(); }

  TemporaryFolder folder_;
  CapturedLog log_;
  Loop loop_;
  HookSettings settings_;
};

TEST_F(HooksTest, RunInOrderAndStopInReverse) {
  auto hooks = make({noting("a"), noting("b")});
  EXPECT_EQ(start(hooks), "");
  loop_.run(hooks.stop());
  EXPECT_EQ(notes(), "a start cd\nb start cd\nb stop cd\na stop cd\n");
}

TEST_F(HooksTest, TheFirstFailureEndsTheStartAndOnlyWhatRanIsStopped) {
  auto hooks = make({noting("a"), script("b", "echo bad luck >&2; exit 3"), noting("c")});
  const std::string failure = start(hooks);
  EXPECT_THAT(failure, HasSubstr("/b start failed: "));
  EXPECT_THAT(failure, HasSubstr("bad luck (exit status 3)"));
  loop_.run(hooks.stop());
  EXPECT_EQ(notes(), "a start cd\na stop cd\n");
}

TEST_F(HooksTest, WithoutAStartNothingIsStopped) {
  auto hooks = make({noting("a")});
  loop_.run(hooks.stop());
  EXPECT_EQ(notes(), "");
}

TEST_F(HooksTest, TheEnvironmentIsOnTopOfOurs) {
  auto hooks = make({script("a",
                            "echo \"$NBDRING_DEVICE $HOME ${PATH:+path}\" >>$notes\n"
                            "[ \"$(readlink /proc/self/fd/0)\" = /dev/null ]")});
  EXPECT_EQ(start(hooks), "");
  EXPECT_EQ(notes(), "/dev/nbd7 /nowhere path\n");
}

TEST_F(HooksTest, OneThatHangsIsEndedInTime) {
  settings_.timeout = milliseconds(200);
  auto hooks = make({script("a", "trap '' TERM\nwhile :; do sleep 0.05; done")});
  const auto begin = Clock::now();
  EXPECT_THAT(start(hooks), HasSubstr("/a start did not end within 200 ms"));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(8));
}

TEST_F(HooksTest, AnInterruptEndsTheStart) {
  auto hooks = make({script("a", "exec sleep 100"), noting("b")});
  struct Soon final : Timer {
    Soon(Loop& loop, Hooks& its) : Timer(loop, Clock::now() + milliseconds(100)), hooks(its) {}
    void expired() override { hooks.interrupt(); }
    Hooks& hooks;
  } soon(loop_, hooks);
  EXPECT_THAT(start(hooks), HasSubstr("killed by signal 15"));
  loop_.run(hooks.stop());
  EXPECT_EQ(notes(), "");
}

TEST_F(HooksTest, WhatCannotBeRunHasFailed) {
  auto hooks = make({folder_ / "none"});
  EXPECT_THAT(start(hooks), HasSubstr("No such file or directory"));
}

TEST_F(HooksTest, TheLoopGoesOnWhileAHookRuns) {
  auto hooks = make({script("a", "until [ -e $notes.go ]; do sleep 0.02; done")});
  struct Soon final : Timer {
    Soon(Loop& loop, std::string its) : Timer(loop, Clock::now() + milliseconds(50)), path(its) {}
    void expired() override { std::ofstream file(path); }
    std::string path;
  } soon(loop_, folder_ / "notes.go");
  EXPECT_EQ(start(hooks), "");
  EXPECT_TRUE(soon.has_expired());
}

TEST_F(HooksTest, WhatTheySayIsLoggedPrintableAndBounded) {
  auto hooks = make({script("a",
                            "echo one; echo two >&2; printf 'x\\033y\\n'; printf rest\n"
                            "i=0; while [ $i -lt 300 ]; do echo; i=$((i+1)); done")});
  EXPECT_EQ(start(hooks), "");
  const std::string text = logged();
  for (const char* line : {"hook: one", "hook: two", "hook: x?y", "hook: rest"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, HasSubstr("says too much"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 250);
}

TEST_F(HooksTest, AreFoundByNameAndExecutable) {
  std::filesystem::create_directory(folder_ / "state.d");
  script("state.d/20-b", "");
  script("state.d/10-a", "");
  script("state.d/.hidden", "");
  script("state.d/README", "", 0644);
  std::filesystem::create_directory(folder_ / "state.d/folder");
  const std::string single = script("state", "");
  const HookPlaces places{{single, folder_ / "nosuch"}, {folder_ / "state.d", folder_ / "none.d"}};
  EXPECT_THAT(find_hooks(places, somebody),
              ElementsAre(single, folder_ / "state.d/10-a", folder_ / "state.d/20-b"));
}

TEST_F(HooksTest, RootRunsNothingThatOthersCanWrite) {
  std::filesystem::create_directory(folder_ / "state.d");
  script("state.d/a", "", 0777);
  EXPECT_NO_THROW(find_hooks({{}, {folder_ / "state.d"}}, somebody));
  EXPECT_THROW(find_hooks({{}, {folder_ / "state.d"}}, 0), Failure);
}

}  // namespace
}  // namespace nbdring
