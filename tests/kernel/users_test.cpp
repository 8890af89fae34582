#include "kernel/users.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/fake_root.hpp"

namespace nbdring {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Users : public testing::Test {
 protected:
  Users() {
    root_.device("nbd0", "43:0", "2048", "4711");
    root_.file("/sys/block/nbd0/nbd0p1/dev", "43:1\n");
    root_.device("nbd1", "43:32", "2048", "4712");
  }
  std::vector<std::string> users(std::uint32_t index = 0) const {
    return users_of(index, Sysfs(root_.path()));
  }
  FakeRoot root_;
};

TEST_F(Users, AreNoneAtFirst) {
  root_.file("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
  root_.file("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
  EXPECT_THAT(users(), IsEmpty());
}

TEST_F(Users, MountsAreFoundByNumber) {
  root_.file("/proc/self/mountinfo",
             "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
             "30 22 43:0 / /mnt rw,relatime shared:5 - ext4 /dev/other/name rw\n"
             "31 22 43:32 / /other rw - ext4 /dev/nbd1 rw\n");
  EXPECT_THAT(users(0), ElementsAre("mounted on /mnt"));
  EXPECT_THAT(users(1), ElementsAre("mounted on /other"));
}

TEST_F(Users, MountsOfFileSystemsWithOwnNumbersAreFoundBySource) {
  root_.file("/proc/self/mountinfo", "30 22 0:45 /root /mnt rw - btrfs /dev/nbd0 rw\n");
  EXPECT_THAT(users(), ElementsAre("mounted on /mnt"));
}

TEST_F(Users, MountPointsAreShownAsTheUserKnowsThem) {
  root_.file("/proc/self/mountinfo", R"(30 22 43:0 / /mnt/a\040b\134c rw - ext4 /dev/nbd0 rw)"
                                     "\n");
  EXPECT_THAT(users(), ElementsAre(R"(mounted on /mnt/a b\c)"));
}

TEST_F(Users, APartitionIsNamed) {
  root_.file("/proc/self/mountinfo", "30 22 43:1 / /boot rw - ext4 /dev/nbd0p1 rw\n");
  EXPECT_THAT(users(), ElementsAre("nbd0p1 mounted on /boot"));
}

TEST_F(Users, MountsOfOtherNamespacesCount) {
  root_.file("/proc/self/mountinfo", "");
  root_.link("/proc/50/ns/mnt", "mnt:[4026531841]");
  root_.file("/proc/50/mountinfo", "30 22 43:0 / /data rw - ext4 /dev/nbd0 rw\n");
  root_.link("/proc/51/ns/mnt", "mnt:[4026531841]");
  root_.file("/proc/51/mountinfo", "30 22 43:0 / /seen-once-is-enough rw - ext4 /dev/nbd0 rw\n");
  EXPECT_EQ(users().size(), 1U);
}

TEST_F(Users, SwapIsFound) {
  root_.file("/proc/swaps", "Filename\tType\tSize\n/dev/nbd0p1   partition 1000 0 -2\n");
  EXPECT_THAT(users(), ElementsAre("nbd0p1 swap"));
}

TEST_F(Users, HoldersOfDeviceAndPartitionAreFound) {
  root_.link("/sys/block/nbd0/holders/dm-0", "../../dm-0");
  root_.link("/sys/block/nbd0/nbd0p1/holders/md127", "../../md127");
  EXPECT_THAT(users(), ElementsAre("held by dm-0", "nbd0p1 held by md127"));
}

TEST_F(Users, LoopDevicesAreFound) {
  root_.file("/sys/block/loop3/loop/backing_file", "/dev/nbd0\n");
  root_.file("/sys/block/loop4/loop/backing_file", "/dev/nbd1\n");
  EXPECT_THAT(users(), ElementsAre("behind loop3"));
}

TEST_F(Users, ProcessesAreFoundByTheirDescriptors) {
  root_.file("/proc/123/comm", "dd\n");
  root_.link("/proc/123/fd/0", "/dev/nbd0");
  root_.link("/proc/123/fd/1", "/dev/nbd0");
  root_.link("/proc/124/fd/0", "socket:[99]");
  root_.link("/proc/125/fd/3", "/dev/nbd01");
  EXPECT_THAT(users(), ElementsAre("open in process 123 (dd)"));
}

TEST_F(Users, WhoStaysIsReportedAtTheDeadline) {
  root_.file("/proc/123/comm", "dd\n");
  root_.link("/proc/123/fd/0", "/dev/nbd0");
  const Deadline deadline = Deadline::in(std::chrono::milliseconds(30));
  EXPECT_THAT(lasting_users_of(0, deadline, Sysfs(root_.path())),
              ElementsAre("open in process 123 (dd)"));
  EXPECT_TRUE(deadline.has_passed());
}

TEST_F(Users, AMountIsReportedAtOnce) {
  root_.file("/proc/self/mountinfo", "30 22 43:0 / /mnt rw - ext4 /dev/nbd0 rw\n");
  const Deadline deadline = Deadline::in(std::chrono::minutes(1));
  EXPECT_THAT(lasting_users_of(0, deadline, Sysfs(root_.path())), ElementsAre("mounted on /mnt"));
  EXPECT_FALSE(deadline.has_passed());
}

TEST_F(Users, OfAnyBlockDeviceAreFoundByItsNumber) {
  root_.file("/sys/devices/pci/block/sda/sda1/dev", "8:1\n");
  root_.file("/sys/devices/pci/block/sda/sda1/partition", "1\n");
  root_.file("/sys/devices/pci/block/sda/sda1/holders/dm-0", "");
  root_.link("/sys/dev/block/8:0", root_.path() + "/sys/devices/pci/block/sda");
  root_.link("/sys/dev/block/8:1", root_.path() + "/sys/devices/pci/block/sda/sda1");
  root_.file("/proc/self/mountinfo", "30 22 8:0 / /mnt rw - ext4 /dev/other/name rw\n");
  const auto of = [this](const std::string& number) {
    return lasting_users_of_number(number, Deadline::in(std::chrono::milliseconds(0)),
                                   Sysfs(root_.path()));
  };
  EXPECT_THAT(of("8:0"), ElementsAre("mounted on /mnt", "sda1 held by dm-0"));
  EXPECT_THAT(of("8:1"), ElementsAre("held by dm-0"));
  EXPECT_THAT(of("8:2"), IsEmpty());
}

}  // namespace
}  // namespace nbdring
