// FLUSH and FUA bring the overlay's data and its map to the disk. Seen through FIEMAP, as in
// file_durability_test.cpp: what is only in the page cache has an extent without a place there.
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>

#include "backends/layers/cow.hpp"
#include "backends/memory.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024;

// Extents of the file that have no place on the disk yet; -1 where nobody can tell.
int delayed_extents(int fd) {
  constexpr std::size_t extents_max = 32;
  alignas(fiemap) std::array<std::byte, sizeof(fiemap) + extents_max * sizeof(fiemap_extent)>
      memory{};
  auto* map = reinterpret_cast<fiemap*>(memory.data());
  map->fm_length = ~std::uint64_t{0};
  map->fm_extent_count = extents_max;
  if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) return -1;
  int delayed = 0;
  for (unsigned i = 0; i < map->fm_mapped_extents; ++i) {
    if ((map->fm_extents[i].fe_flags & FIEMAP_EXTENT_DELALLOC) != 0) ++delayed;
  }
  return delayed;
}

class CowDurabilityTest : public testing::Test {
 protected:
  void SetUp() override {
    EXPECT_EQ(user_.write(size / 2, pattern(1, 0, 4096)), 0);
    if (delayed_extents(overlay_.fd()) <= 0) {
      GTEST_SKIP() << "this file system does not tell what is not on the disk yet";
    }
  }

  CapturedLog log_;
  TemporaryFile overlay_{0};
  std::unique_ptr<Backend> backend_ =
      copy_on_write(std::make_unique<MemoryBackend>(size), {overlay_.path()}, log_.log());
  BackendUser user_{*backend_};
};

TEST_F(CowDurabilityTest, FlushBringsDataAndMapToTheDisk) {
  EXPECT_EQ(user_.flush(), 0);
  EXPECT_EQ(delayed_extents(overlay_.fd()), 0);
}

TEST_F(CowDurabilityTest, FlushCoversTheWritesOfOtherLanes) {
  BackendUser other(*backend_);
  EXPECT_EQ(other.flush(), 0);
  EXPECT_EQ(delayed_extents(overlay_.fd()), 0);
}

TEST_F(CowDurabilityTest, FuaBringsItsWriteAndTheMapToTheDisk) {
  EXPECT_EQ(user_.write(0, pattern(2, 0, 4096), true), 0);
  EXPECT_EQ(delayed_extents(overlay_.fd()), 0);
}

}  // namespace
}  // namespace nbdring
