// FLUSH and FUA reach the disk. Seen through FIEMAP: what is only in the page cache has, on file
// systems that allocate late (ext4, xfs, btrfs), an extent without a place on the disk.
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>

#include "backends/file.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024;

// Extents of the range that have no place on the disk yet; -1 where nobody can tell.
int delayed_extents(int fd, std::uint64_t offset, std::uint64_t length) {
  constexpr std::size_t extents_max = 32;
  alignas(fiemap) std::array<std::byte, sizeof(fiemap) + extents_max * sizeof(fiemap_extent)>
      memory{};
  auto* map = reinterpret_cast<fiemap*>(memory.data());
  map->fm_start = offset;
  map->fm_length = length;
  map->fm_extent_count = extents_max;
  if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) return -1;
  int delayed = 0;
  for (unsigned i = 0; i < map->fm_mapped_extents; ++i) {
    if ((map->fm_extents[i].fe_flags & FIEMAP_EXTENT_DELALLOC) != 0) ++delayed;
  }
  return delayed;
}

class FileDurabilityTest : public testing::Test {
 protected:
  FileDurabilityTest() : file_(size) {
    spec_.path = file_.path();
    backend_ = std::make_unique<FileBackend>(spec_, log_.log());
    user_ = std::make_unique<BackendUser>(*backend_);
  }
  void SetUp() override {
    EXPECT_EQ(user_->write(0, pattern(1, 0, 65536)), 0);
    if (delayed_extents(file_.fd(), 0, 65536) <= 0) {
      GTEST_SKIP() << "this file system does not tell what is not on the disk yet";
    }
  }

  CapturedLog log_;
  TemporaryFile file_;
  FileSpec spec_;
  std::unique_ptr<FileBackend> backend_;
  std::unique_ptr<BackendUser> user_;
};

TEST_F(FileDurabilityTest, FlushBringsEveryWriteToTheDisk) {
  EXPECT_EQ(user_->write(size / 2, pattern(2, 0, 65536)), 0);
  EXPECT_EQ(user_->flush(), 0);
  EXPECT_EQ(delayed_extents(file_.fd(), 0, size), 0);
}

TEST_F(FileDurabilityTest, FlushCoversTheWritesOfOtherLanes) {
  BackendUser other(*backend_);
  EXPECT_EQ(other.flush(), 0);
  EXPECT_EQ(delayed_extents(file_.fd(), 0, size), 0);
}

TEST_F(FileDurabilityTest, FuaBringsItsOwnWriteToTheDisk) {
  EXPECT_EQ(user_->write(size / 2, pattern(2, 0, 65536), true), 0);
  EXPECT_EQ(delayed_extents(file_.fd(), size / 2, 65536), 0);
}

TEST_F(FileDurabilityTest, FuaOfZeroesAndTrimFlushes) {
  ZeroMode mode;
  mode.fua = true;
  EXPECT_EQ(user_->write_zeroes(size / 2, 4096, mode), 0);
  EXPECT_EQ(delayed_extents(file_.fd(), 0, size), 0);
  EXPECT_EQ(user_->write(65536, pattern(3, 0, 65536)), 0);
  EXPECT_EQ(user_->trim(size / 2, 4096, true), 0);
  EXPECT_EQ(delayed_extents(file_.fd(), 0, size), 0);
}

}  // namespace
}  // namespace nbdring
