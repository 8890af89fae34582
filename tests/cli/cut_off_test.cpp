#include "cli/cut_off.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t mib = 1 << 20;

// nbd3 of 64 MiB: nbd3p1 is its first half, nbd3p2 the second.
class CutOffTest : public ::testing::Test {
 protected:
  CutOffTest() {
    write("sys/block/nbd3/dev", "43:96");
    partition("nbd3p1", "43:97", 0, 32 * mib);
    partition("nbd3p2", "43:98", 32 * mib, 32 * mib);
    write("proc/swaps", "Filename Type Size Used Priority");
    write("proc/self/mountinfo", "");
  }

  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_ / ("root/" + path);
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text << "\n";
  }
  void partition(const std::string& name, const std::string& number, std::uint64_t start,
                 std::uint64_t size) {
    const std::string folder = "sys/block/nbd3/" + name;
    write(folder + "/partition", name.substr(5));
    write(folder + "/dev", number);
    write(folder + "/start", std::to_string(start / 512));
    write(folder + "/size", std::to_string(size / 512));
  }
  void mounted(const std::string& number, const std::string& device, const std::string& where) {
    write("proc/self/mountinfo",
          "36 35 " + number + " / " + where + " rw,noatime shared:1 - ext4 " + device + " rw");
  }

  TemporaryFolder root_;
  Sysfs sysfs_{root_ / "root"};
};

TEST_F(CutOffTest, APartitionIsCutWhereItEndsBehind) {
  EXPECT_THAT(partitions_behind(3, 64 * mib, sysfs_), IsEmpty());
  EXPECT_THAT(partitions_behind(3, 64 * mib - 512, sysfs_), ElementsAre("nbd3p2"));
  EXPECT_THAT(partitions_behind(3, 32 * mib, sysfs_), ElementsAre("nbd3p2"));
  EXPECT_THAT(partitions_behind(3, 16 * mib, sysfs_), ElementsAre("nbd3p1", "nbd3p2"));
}

TEST_F(CutOffTest, AMountedPartitionCountsOnlyWhereItIsCut) {
  mounted("43:97", "/dev/nbd3p1", "/mnt");
  EXPECT_THAT(users_behind(3, 32 * mib, sysfs_), IsEmpty());
  EXPECT_THAT(users_behind(3, 16 * mib, sysfs_), ElementsAre("nbd3p1 mounted on /mnt"));
}

// The file system of the test's own folder stands for the one on the device.
TEST_F(CutOffTest, AFileSystemOnTheWholeDeviceCountsWhereItIsLarger) {
  mounted("43:96", "/dev/nbd3", "/");
  EXPECT_THAT(users_behind(3, 4096, sysfs_), ElementsAre("mounted on /"));
  EXPECT_THAT(users_behind(3, std::uint64_t{1} << 62, sysfs_), IsEmpty());
}

TEST_F(CutOffTest, SwapAlwaysCounts) {
  write("proc/swaps", "Filename Type Size Used Priority\n/dev/nbd3 partition 65532 0 -2");
  EXPECT_THAT(users_behind(3, 63 * mib, sysfs_), ElementsAre("swap"));
}

}  // namespace
}  // namespace nbdring
