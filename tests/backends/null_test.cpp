#include "backends/null.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/backend_user.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

TEST(NullBackend, ReadsAsZerosWhateverIsWritten) {
  NullBackend backend(1 << 20);
  BackendUser user(backend);
  EXPECT_EQ(user.write(4096, pattern(1, 0, 512)), 0);
  auto buffer = pattern(2, 0, 512);
  EXPECT_EQ(user.read(4096, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 0, 0));
  EXPECT_EQ(user.flush(), 0);
  EXPECT_EQ(user.trim(0, 4096), 0);
  EXPECT_EQ(user.write_zeroes(0, 4096), 0);
}

TEST(NullBackend, IsOneHole) {
  NullBackend backend(1 << 20);
  BackendUser user(backend);
  const auto extents = user.extents(0, 1 << 20);
  ASSERT_EQ(extents.size(), 1U);
  EXPECT_EQ(extents[0].flags, nbd::extent_hole | nbd::extent_zero);
}

TEST(NullBackend, HasTheSizeAndFlagsThatWereAskedFor) {
  const NullBackend backend(12'345, true);
  EXPECT_EQ(broken_rule(backend.about()), nullptr);
  EXPECT_EQ(backend.about().size, 12'345U);
  EXPECT_TRUE(backend.about().is_read_only());
}

}  // namespace
}  // namespace nbdring
