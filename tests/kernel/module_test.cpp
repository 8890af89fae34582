#include "kernel/module.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;

TEST(KernelVersion, IsReadFromARelease) {
  EXPECT_EQ(parse_kernel_version("6.12.117", "#1 SMP"), (KernelVersion{6, 12, 117}));
  EXPECT_EQ(parse_kernel_version("7.0-rc3+", "#1 SMP"), (KernelVersion{7, 0, 0}));
  EXPECT_EQ(parse_kernel_version("6.18.44-fc-v669", "#1"), (KernelVersion{6, 18, 44}));
}

TEST(KernelVersion, OfDebianHasItsPatchLevelInTheVersion) {
  const char version[] = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.164-1 (2026-03-09)";
  EXPECT_EQ(parse_kernel_version("6.1.0-44-amd64", version), (KernelVersion{6, 1, 164}));
}

TEST(KernelVersion, OfAnotherSeriesIsNotDebians) {
  const char version[] = "#1 SMP (built on Debian 12.2.0)";
  EXPECT_EQ(parse_kernel_version("6.6.3-own", version), (KernelVersion{6, 6, 3}));
}

TEST(KernelVersion, IsZeroWhereNothingCanBeRead) {
  EXPECT_EQ(parse_kernel_version("unknown", ""), KernelVersion{});
  EXPECT_EQ(parse_kernel_version("6", ""), KernelVersion{});
}

TEST(KernelVersion, ComparesNumbersAndNotText) {
  EXPECT_LT((KernelVersion{6, 9, 0}), (KernelVersion{6, 12, 0}));
  EXPECT_LT((KernelVersion{6, 12, 3}), (KernelVersion{6, 12, 20}));
  EXPECT_GT((KernelVersion{7, 0, 0}), (KernelVersion{6, 99, 99}));
}

TEST(Driver, IsPresentWhenSysfsHasTheModule) {
  FakeRoot root;
  EXPECT_FALSE(driver_present(Sysfs(root.path())));
  root.file("/sys/module/nbd/parameters/max_part", "31\n");
  EXPECT_TRUE(driver_present(Sysfs(root.path())));
  EXPECT_EQ(Sysfs(root.path()).module_parameter("max_part"), 31U);
}

TEST(Driver, WhereMissingNamesThePackageOfDebian) {
  const RunningKernel debian{"6.1.0-44-cloud-amd64", {6, 1, 164}};
  EXPECT_THAT(driver_missing_text(debian, "x"),
              HasSubstr("install linux-image-6.1.0-44-cloud-amd64"));
  const RunningKernel other{"6.18.44-fc", {6, 18, 44}};
  EXPECT_THAT(driver_missing_text(other, "FATAL: not found"), HasSubstr("FATAL: not found"));
  EXPECT_THAT(driver_missing_text(other, "x"), HasSubstr("CONFIG_BLK_DEV_NBD"));
}

}  // namespace
}  // namespace nbdring
