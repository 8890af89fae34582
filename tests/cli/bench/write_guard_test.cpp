#include "cli/bench/write_guard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/bench/target.hpp"
#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"
#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(WriteGuard, NamesWhatIsLost) {
  const std::uint64_t whole = std::uint64_t{10} << 30;
  EXPECT_EQ(loss_text({0, whole, whole}, "/dev/nbd0", {"srv", "mounted on /mnt"}),
            "the 10.0 GiB of /dev/nbd0 (srv, mounted on /mnt)");
  EXPECT_EQ(loss_text({4096, 1 << 20, whole}, "nbd://h/x", {}),
            "the 1.00 MiB at offset 4096 of nbd://h/x");
}

TEST(WriteGuard, RefusesWhatIsInUse) {
  EXPECT_NO_THROW(refuse_used("/dev/nbd0", {}));
  try {
    refuse_used("/dev/nbd0", {"mounted on /mnt", "swap"});
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::busy);
    EXPECT_STREQ(failure.what(),
                 "/dev/nbd0 is in use: mounted on /mnt, swap; it is not written, free it first");
  }
}

TEST(WriteGuard, SeesTheLoopDeviceOverAFile) {
  const FakeRoot root;
  FakeRoot machine;
  std::ofstream(root.path() + "/disk.img") << "x";
  const std::string file = std::filesystem::canonical(root.path() + "/disk.img").string();
  machine.file("/sys/block/loop3/loop/backing_file", file + "\n");
  EXPECT_THAT(users_of_path(root.path() + "/disk.img", Sysfs(machine.path())),
              ElementsAre("behind loop3"));
  EXPECT_THAT(users_of_path(root.path(), Sysfs(machine.path())), IsEmpty());
  EXPECT_THAT(users_of_path("/nowhere", Sysfs(machine.path())), IsEmpty());
}

/// Opens a target as the command line names it.
class OpenTarget : public ::testing::Test {
 protected:
  OpenTarget() { std::ofstream(file()) << std::string(1 << 20, 'x'); }

  std::string file() const { return folder_.path() + "/disk.img"; }
  BenchTarget open(std::vector<std::string> words) {
    words.insert(words.begin(), {"nbdring", "bench"});
    const auto command = std::get<BenchCommand>(parse_command_line(words).command);
    const TargetSources sources{config_, common_, devices_};
    return open_target(command, 0, sources, log_);
  }
  std::string refusal(const std::vector<std::string>& words, FailureKind kind) {
    try {
      open(words);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), kind) << failure.what();
      return failure.what();
    }
    return "accepted";
  }

  FakeRoot folder_;
  Config config_;
  CommonOptions common_;
  RunFolder devices_{folder_.path() + "/run"};
  Log log_{LogLevel::error, LogFormat::text, 2};
};

TEST_F(OpenTarget, ReadOnlyUnlessItMayBeWritten) {
  EXPECT_TRUE(open({file()}).backend->about().is_read_only());
  EXPECT_FALSE(open({file(), "--write"}).backend->about().is_read_only());
}

TEST_F(OpenTarget, WritesWithoutLeaveAreRefusedWithTheLoss) {
  EXPECT_EQ(refusal({file(), "--reads", "70"}, FailureKind::usage),
            "this writes: give --write, which overwrites the 1.00 MiB of " + file());
}

TEST_F(OpenTarget, WhatIsReadOnlyIsNotWritten) {
  EXPECT_THAT(refusal({"file:" + file() + "?readonly", "--write"}, FailureKind::failed),
              HasSubstr("is read-only and is not written; leave --write out"));
  EXPECT_THAT(refusal({file(), "--layer", "readonly", "--write"}, FailureKind::failed),
              HasSubstr("is read-only and is not written"));
}

TEST_F(OpenTarget, WhatSomebodyElseWritesIsBusy) {
  const BenchTarget writer = open({file(), "--write"});
  EXPECT_THAT(refusal({file()}, FailureKind::busy), HasSubstr("is in use"));
}

TEST_F(OpenTarget, ADeviceThatIsNotAttachedIsNotFound) {
  EXPECT_EQ(refusal({"/dev/nbd99999"}, FailureKind::not_found),
            "/dev/nbd99999 is not attached; `nbdring list` shows what is");
}

TEST_F(OpenTarget, TheRangeLiesWithin) {
  const BenchTarget part = open({file(), "--offset", "64k", "--size", "256k"});
  EXPECT_EQ(part.offset, 65'536U);
  EXPECT_EQ(part.size, 262'144U);
  EXPECT_EQ(open({file(), "--offset", "64k", "-b", "4k"}).size, (1U << 20) - 65'536);
  EXPECT_THAT(refusal({file(), "--offset", "1M"}, FailureKind::usage), HasSubstr("do not lie"));
  EXPECT_THAT(refusal({file(), "--size", "2M"}, FailureKind::usage),
              HasSubstr("which has 1048576 bytes"));
}

TEST_F(OpenTarget, ABlockFitsTheTarget) {
  EXPECT_THAT(refusal({file(), "-b", "2M"}, FailureKind::usage), HasSubstr("has 0 such blocks"));
  EXPECT_THAT(refusal({file(), "-b", "256k", "-c", "8"}, FailureKind::usage),
              HasSubstr("has 4 such blocks for 8 connections"));
  EXPECT_THAT(refusal({file(), "--layer", "blocksize=4096", "-b", "512"}, FailureKind::usage),
              HasSubstr("asks for multiples of 4096 bytes"));
  EXPECT_THAT(refusal({"null:1T", "-b", "32M", "-d", "64"}, FailureKind::usage),
              HasSubstr("more than 1.0 GiB of buffers"));
  EXPECT_THAT(refusal({"null:1T", "-b", "4k", "--write", "--verify"}, FailureKind::usage),
              HasSubstr("--verify keeps count of"));
}

}  // namespace
}  // namespace nbdring
