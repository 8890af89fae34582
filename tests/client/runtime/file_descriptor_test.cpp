#include "client/runtime/file_descriptor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace nbdring {
namespace {

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(FileDescriptor, ClosesWhatItHolds) {
  const int fd = open_null();
  {
    const FileDescriptor owner(fd);
    EXPECT_EQ(owner.get(), fd);
    EXPECT_TRUE(owner.is_open());
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(FileDescriptor, HoldsNothingByDefault) {
  const FileDescriptor owner;
  EXPECT_FALSE(owner.is_open());
  EXPECT_EQ(owner.get(), -1);
}

TEST(FileDescriptor, MovesItsOwnership) {
  const int fd = open_null();
  FileDescriptor first(fd);
  FileDescriptor second(std::move(first));
  EXPECT_FALSE(first.is_open());
  EXPECT_EQ(second.get(), fd);

  const int other = open_null();
  FileDescriptor third(other);
  third = std::move(second);
  EXPECT_FALSE(is_open(other));
  EXPECT_EQ(third.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(FileDescriptor, SurvivesMovingToItself) {
  FileDescriptor owner(open_null());
  FileDescriptor& same = owner;
  owner = std::move(same);
  EXPECT_TRUE(is_open(owner.get()));
}

TEST(FileDescriptor, ReleasesWithoutClosing) {
  FileDescriptor owner(open_null());
  const int fd = owner.release();
  EXPECT_FALSE(owner.is_open());
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

}  // namespace
}  // namespace nbdring
