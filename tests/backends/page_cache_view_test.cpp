#include "backends/page_cache_view.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::size_t size = 256 * 1024;

class PageCacheViewTest : public testing::Test {
 protected:
  PageCacheViewTest() : file_(size) {
    file_.write(0, pattern(1, 0, size));
    is_open_ = view_.open(file_.fd(), size);
  }
  // Out of the page cache with it, where the file system lets it go.
  bool drop(std::uint64_t offset, std::size_t length) {
    ::fsync(file_.fd());
    ::posix_fadvise(file_.fd(), static_cast<off_t>(offset), static_cast<off_t>(length),
                    POSIX_FADV_DONTNEED);
    return !view_.holds(offset, length);
  }

  TemporaryFile file_;
  PageCacheView view_;
  bool is_open_ = false;
};

TEST_F(PageCacheViewTest, HoldsWhatWasWrittenOfAnyAlignment) {
  ASSERT_TRUE(is_open_);
  EXPECT_TRUE(view_.holds(0, size));
  EXPECT_TRUE(view_.holds(4095, 2));
  EXPECT_TRUE(view_.holds(size - 1, 1));
}

TEST_F(PageCacheViewTest, MissesOnePageWhereverTheRangeHasIt) {
  ASSERT_TRUE(is_open_);
  if (!drop(0, size)) GTEST_SKIP() << "this file system keeps everything in memory";
  // One page, and no more than that: reading ahead would fill others.
  ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_RANDOM);
  for (const std::uint64_t at : {0U, 8192U, 12'288U}) file_.read(at, 4096);
  EXPECT_TRUE(view_.holds(0, 4096));
  EXPECT_TRUE(view_.holds(8192, 8192));
  EXPECT_FALSE(view_.holds(0, 4097));
  EXPECT_FALSE(view_.holds(8191, 2));
  EXPECT_FALSE(view_.holds(0, 16'384));
}

TEST_F(PageCacheViewTest, HoldsNothingBeyondItsEnd) {
  ASSERT_TRUE(is_open_);
  EXPECT_FALSE(view_.holds(size - 1, 2));
  EXPECT_FALSE(view_.holds(0, PageCacheView::largest + 1));
}

TEST(PageCacheView, DoesNotOpenWithoutAFile) {
  PageCacheView view;
  EXPECT_FALSE(view.open(-1, size));
  const TemporaryFile file(size);
  EXPECT_FALSE(view.open(file.fd(), 0));
  EXPECT_FALSE(view.is_open());
}

}  // namespace
}  // namespace nbdring
