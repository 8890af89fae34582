#include "kernel/sysfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(DeviceIndex, ReadsPathNameAndNumber) {
  EXPECT_EQ(device_index("/dev/nbd7"), 7U);
  EXPECT_EQ(device_index("nbd12"), 12U);
  EXPECT_EQ(device_index("0"), 0U);
}

TEST(DeviceIndex, RefusesWhatNamesNoDevice) {
  for (const char* text : {"", "nbd", "/dev/", "/dev/sda", "/dev/7", "nbd0p1", "nbd-1", "-1",
                           "nbd07", "nbd 1", "nbd4294967296", "xnbd1"}) {
    EXPECT_EQ(device_index(text), std::nullopt) << text;
  }
}

TEST(Sysfs, TellsAttachedFromIdleDevices) {
  FakeRoot root;
  root.device("nbd0", "43:0", "2048", "4711", "file:/a");
  root.device("nbd1", "43:32", "0");
  root.device("nbd10", "43:320", "8", "12");
  root.device("sda", "8:0", "1");
  const Sysfs sysfs(root.path());
  EXPECT_THAT(sysfs.device_indexes(), ElementsAre(0U, 1U, 10U));
  EXPECT_THAT(sysfs.attached_indexes(), ElementsAre(0U, 10U));
  EXPECT_TRUE(sysfs.exists(1));
  EXPECT_FALSE(sysfs.is_attached(1));
  EXPECT_FALSE(sysfs.exists(2));
}

TEST(Sysfs, ReadsADevice) {
  FakeRoot root;
  root.device("nbd0", "43:0", "2048", "4711", "file:/a b");
  root.file("/sys/block/nbd0/ro", "1\n");
  const auto device = Sysfs(root.path()).device(0);
  ASSERT_TRUE(device);
  EXPECT_TRUE(device->attached);
  EXPECT_EQ(device->thread, 4711);
  EXPECT_EQ(device->backend, "file:/a b");
  EXPECT_EQ(device->size, 2048U * 512);
  EXPECT_TRUE(device->read_only);
  EXPECT_EQ(device->number, "43:0");
}

TEST(Sysfs, AddsUpWhatIsInFlight) {
  FakeRoot root;
  root.file("/sys/block/nbd0/inflight", "       3       40\n");
  EXPECT_EQ(Sysfs(root.path()).in_flight(0), 43U);
  EXPECT_EQ(Sysfs(root.path()).in_flight(1), 0U);
}

TEST(Sysfs, KnowsNoDeviceThatIsNotThere) {
  FakeRoot root;
  EXPECT_EQ(Sysfs(root.path()).device(3), std::nullopt);
  EXPECT_THAT(Sysfs(root.path()).device_indexes(), IsEmpty());
}

TEST(Sysfs, ListsPartitionsAfterTheDevice) {
  FakeRoot root;
  root.device("nbd1", "43:32", "2048");
  root.file("/sys/block/nbd1/nbd1p2/dev", "43:34\n");
  root.file("/sys/block/nbd1/nbd1p1/dev", "43:33\n");
  root.file("/sys/block/nbd1/queue/scheduler", "none\n");
  std::string all;
  for (const auto& part : Sysfs(root.path()).parts(1)) all += part.name + "=" + part.number + " ";
  EXPECT_EQ(all, "nbd1=43:32 nbd1p1=43:33 nbd1p2=43:34 ");
}

TEST(Sysfs, FindsTheChoiceInBrackets) {
  FakeRoot root;
  root.file("/sys/block/nbd0/queue/scheduler", "none [mq-deadline] bfq\n");
  root.file("/sys/block/nbd0/queue/max_sectors_kb", "128\n");
  const Sysfs sysfs(root.path());
  EXPECT_EQ(sysfs.queue_value(0, "scheduler"), "mq-deadline");
  EXPECT_EQ(sysfs.queue_value(0, "max_sectors_kb"), "128");
  EXPECT_EQ(sysfs.queue_value(0, "none_such"), std::nullopt);
}

TEST(Sysfs, WritesSettingsAndReportsTheRefused) {
  FakeRoot root;
  root.file("/sys/block/nbd0/queue/max_sectors_kb", "");
  const Sysfs sysfs(root.path());
  EXPECT_EQ(sysfs.set_queue_value(0, "max_sectors_kb", "1024"), 0);
  EXPECT_EQ(root.text_of("/sys/block/nbd0/queue/max_sectors_kb"), "1024");
  EXPECT_EQ(sysfs.set_queue_value(0, "none_such", "1"), ENOENT);
}

TEST(Sysfs, AnnouncesAChangeAndForgivesAGoneDevice) {
  FakeRoot root;
  root.file("/sys/block/nbd0/uevent", "");
  Sysfs(root.path()).announce_change(0);
  EXPECT_EQ(root.text_of("/sys/block/nbd0/uevent"), "change");
  Sysfs(root.path()).announce_change(1);
}

}  // namespace
}  // namespace nbdring
