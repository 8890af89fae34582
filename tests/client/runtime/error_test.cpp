#include "client/runtime/error.hpp"

#include <gtest/gtest.h>

namespace nbdring {
namespace {

TEST(Status, IsOkOrAnErrno) {
  EXPECT_TRUE(Status().is_ok());
  EXPECT_TRUE(Status::ok().is_ok());
  EXPECT_FALSE(Status::from_errno(EIO).is_ok());
  EXPECT_EQ(Status::from_errno(EIO).error(), EIO);
  EXPECT_EQ(Status::from_errno(EIO), Status::from_errno(EIO));
  EXPECT_NE(Status::from_errno(EIO), Status::ok());
}

TEST(Failure, CarriesItsKindAndItsLine) {
  const Failure failure(FailureKind::busy, "nbd0 is busy");
  EXPECT_EQ(failure.kind(), FailureKind::busy);
  EXPECT_STREQ(failure.what(), "nbd0 is busy");
}

// The values are promised to scripts (interface.md, exit codes).
TEST(FailureKind, IsTheExitCode) {
  EXPECT_EQ(static_cast<int>(FailureKind::failed), 1);
  EXPECT_EQ(static_cast<int>(FailureKind::usage), 2);
  EXPECT_EQ(static_cast<int>(FailureKind::busy), 3);
  EXPECT_EQ(static_cast<int>(FailureKind::not_found), 4);
  EXPECT_EQ(static_cast<int>(FailureKind::unreachable), 5);
  EXPECT_EQ(static_cast<int>(FailureKind::refused), 6);
  EXPECT_EQ(static_cast<int>(FailureKind::cannot_attach), 7);
}

TEST(FailErrno, SaysTheActionAndTheReason) {
  try {
    fail_errno(FailureKind::not_found, "cannot open 'x'", ENOENT);
    FAIL() << "fail_errno returned";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::not_found);
    EXPECT_STREQ(failure.what(), "cannot open 'x': No such file or directory");
  }
}

TEST(FailErrno, TakesErrnoItself) {
  errno = EACCES;
  try {
    fail_errno(FailureKind::failed, "cannot open 'x'");
  } catch (const Failure& failure) {
    EXPECT_STREQ(failure.what(), "cannot open 'x': Permission denied");
  }
}

TEST(Ensure, PassesWhatHolds) {
  int evaluated = 0;
  ENSURE(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

TEST(Ensure, SaysWhatAndWhereAndAborts) {
  EXPECT_DEATH(ENSURE(1 + 1 == 3),
               "nbdring: internal error: 1 \\+ 1 == 3 does not hold \\(.*error_test.cpp:[0-9]+\\)");
}

}  // namespace
}  // namespace nbdring
