#include "kernel/receivers.hpp"

#include <gtest/gtest.h>

#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

TEST(Receivers, AreCountedWhereTheyRun) {
  FakeRoot root;
  root.file("/proc/2/comm", "kthreadd\n");
  root.file("/proc/60/comm", "kworker/u5:0+nbd0-recv\n");
  root.file("/proc/61/comm", "nbd0-recv+nbd0-recv\n");            // the rescuer, Linux 6.1
  root.file("/proc/62/comm", "kworker/R-nbd0-recv+nbd0-recv\n");  // and 6.12
  root.file("/proc/63/comm", "kworker/u5:1-nbd0-recv\n");         // ran it last
  root.file("/proc/64/comm", "nbd0-recv\n");                      // an idle rescuer
  root.file("/proc/65/comm", "kworker/u5:2+nbd10-recv\n");
  root.file("/proc/self/comm", "kworker/u5:0+nbd0-recv\n");
  EXPECT_EQ(running_receivers(0, root.path()), 3U);
  EXPECT_EQ(running_receivers(10, root.path()), 1U);
  EXPECT_EQ(running_receivers(1, root.path()), 0U);
}

TEST(Receivers, CannotBeCountedWithoutSeeingKernelThreads) {
  FakeRoot root;
  root.file("/proc/2/comm", "bash\n");
  EXPECT_EQ(running_receivers(0, root.path()), std::nullopt);
}

}  // namespace
}  // namespace nbdring
