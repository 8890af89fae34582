#include "cli/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

DeviceRecord some_record(std::uint32_t index = 3) {
  DeviceRecord record;
  record.index = index;
  record.id = "file:/srv/disk.img";
  record.name = "srv";
  record.backend = "file:/srv/disk.img";
  record.size = (std::uint64_t{1} << 40) + 512;
  record.block_size = 512;
  record.read_only = true;
  record.connections = 4;
  record.timeout = 30;
  record.fresh = true;
  record.pid = 1234;
  record.keeper = 1233;
  record.recovering = true;
  record.started = 1'790'000'000;
  return record;
}

std::vector<std::string> files_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

class RunFolderTest : public ::testing::Test {
 protected:
  RunFolderTest() { folder_.create(); }

  // What sysfs shows of a device that the driver holds.
  void driver_holds(std::uint32_t index, const std::string& identifier) {
    const std::string device = root_ / ("root/sys/block/" + device_name(index));
    std::filesystem::create_directories(device);
    std::ofstream(device + "/dev") << "43:0\n";
    std::ofstream(device + "/pid") << "99\n";
    std::ofstream(device + "/backend") << identifier << "\n";
  }

  TemporaryFolder root_;
  RunFolder folder_{root_ / "run"};
  Sysfs sysfs_{root_ / "root"};
};

TEST_F(RunFolderTest, IsForItsOwnerAlone) {
  struct stat status {};
  ASSERT_EQ(::stat(folder_.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

TEST_F(RunFolderTest, RecordComesBackAsItWas) {
  const RecordFile file(folder_, some_record());
  const auto known = folder_.devices(sysfs_);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known[0].record, some_record());
  EXPECT_TRUE(known[0].engine_lives);
}

TEST_F(RunFolderTest, FindsByDeviceNameAndIdentity) {
  const RecordFile file(folder_, some_record());
  for (const char* target : {"/dev/nbd3", "nbd3", "3", "srv", "file:/srv/disk.img"}) {
    EXPECT_TRUE(folder_.find(target, sysfs_).has_value()) << target;
  }
  for (const char* target : {"/dev/nbd4", "4", "sr", "file:/srv/disk", ""}) {
    EXPECT_FALSE(folder_.find(target, sysfs_).has_value()) << target;
  }
}

TEST_F(RunFolderTest, ADeviceThatEndsInOrderLeavesNothing) {
  {
    const RecordFile file(folder_, some_record());
    std::ofstream(folder_.log_path(3)) << "a line\n";
  }
  EXPECT_TRUE(files_in(folder_.path()).empty());
}

TEST_F(RunFolderTest, ADeadEngineIsToldFromALivingOneByItsLock) {
  driver_holds(3, some_record().id);
  RecordFile(folder_, some_record()).keep();
  const auto known = folder_.devices(sysfs_);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_FALSE(known[0].engine_lives);
}

TEST_F(RunFolderTest, ForgetsADeadEngineThatTheDriverDoesNotHold) {
  RecordFile(folder_, some_record()).keep();
  EXPECT_TRUE(folder_.devices(sysfs_).empty());
  EXPECT_TRUE(files_in(folder_.path()).empty());
}

TEST_F(RunFolderTest, ForgetsADeadEngineWhoseDeviceIsSomebodyElsesNow) {
  driver_holds(3, "another identity");
  RecordFile(folder_, some_record()).keep();
  EXPECT_TRUE(folder_.devices(sysfs_).empty());
}

// The keeper's descriptor is a duplicate: it lives while no engine does.
TEST_F(RunFolderTest, AKeeperAloneLooksAfterTheDevice) {
  FileDescriptor keeper;
  {
    RecordFile file(folder_, some_record());
    keeper.reset(::dup(file.lock()));
    file.hand_over();
  }
  ASSERT_EQ(folder_.devices(sysfs_).size(), 1U);
  EXPECT_TRUE(folder_.devices(sysfs_)[0].engine_lives);
  EXPECT_THROW(RecordFile(folder_, some_record()), Failure);

  DeviceRecord changed = some_record();
  changed.recovering = false;
  changed.pid = 99;
  { RecordFile next(folder_, changed, std::move(keeper)); }
  EXPECT_TRUE(files_in(folder_.path()).empty());
}

TEST_F(RunFolderTest, AnEngineThatEndsUnlocksItsKeepersDuplicateToo) {
  driver_holds(3, some_record().id);
  FileDescriptor keeper;
  {
    RecordFile file(folder_, some_record());
    keeper.reset(::dup(file.lock()));
    file.keep();
  }
  ASSERT_EQ(folder_.devices(sysfs_).size(), 1U);
  EXPECT_FALSE(folder_.devices(sysfs_)[0].engine_lives);
}

TEST_F(RunFolderTest, ARecordChangesUnderItsLock) {
  RecordFile file(folder_, some_record());
  DeviceRecord larger = some_record();
  larger.size *= 2;
  file.update(larger);
  const auto known = folder_.devices(sysfs_);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known[0].record, larger);
  EXPECT_TRUE(known[0].engine_lives);
}

TEST_F(RunFolderTest, NeverForgetsALivingEngine) {
  const RecordFile file(folder_, some_record());
  folder_.forget(3);
  EXPECT_EQ(folder_.devices(sysfs_).size(), 1U);
}

TEST_F(RunFolderTest, ForgetsWhatIsNoRecord) {
  for (const char* text : {"", "{", "[]", "{\"index\":3}", "{\"index\":\"3\"}"}) {
    std::ofstream(folder_.record_path(3)) << text;
    EXPECT_TRUE(folder_.devices(sysfs_).empty()) << text;
    EXPECT_TRUE(files_in(folder_.path()).empty()) << text;
  }
}

TEST_F(RunFolderTest, TakesNoNoticeOfOtherFiles) {
  std::ofstream(folder_.path() + "/notes.json") << "{}";
  std::ofstream(folder_.path() + "/nbdx.json") << "{}";
  EXPECT_TRUE(folder_.devices(sysfs_).empty());
  EXPECT_EQ(files_in(folder_.path()).size(), 2U);
}

TEST_F(RunFolderTest, AFolderThatIsMissingHasNoDevices) {
  EXPECT_TRUE(RunFolder(root_ / "nowhere").devices(sysfs_).empty());
}

TEST_F(RunFolderTest, OfTwoWhoAttachAnIdentityTheSecondWaits) {
  const auto soon = Deadline::in(std::chrono::milliseconds(30));
  {
    const IdentityLock first(folder_, IdentityLock::Of::id, "a", soon);
    EXPECT_THROW(IdentityLock(folder_, IdentityLock::Of::id, "a", soon), Failure);
    const IdentityLock other(folder_, IdentityLock::Of::id, "b", soon);
    const IdentityLock name(folder_, IdentityLock::Of::name, "a", soon);
  }
  const IdentityLock again(folder_, IdentityLock::Of::id, "a", soon);
}

TEST_F(RunFolderTest, LocksOfIdentitiesLeaveNothing) {
  { const IdentityLock lock(folder_, IdentityLock::Of::id, "a", Deadline::in({})); }
  EXPECT_TRUE(files_in(folder_.path()).empty());
}

TEST_F(RunFolderTest, AKilledHolderOfAnIdentityIsInNobodysWay) {
  const pid_t child = ::fork();
  if (child == 0) {
    const IdentityLock lock(folder_, IdentityLock::Of::id, "a", Deadline::in({}));
    ::_exit(0);  // without a destructor, as if killed
  }
  ::waitpid(child, nullptr, 0);
  const IdentityLock lock(folder_, IdentityLock::Of::id, "a", Deadline::in({}));
}

}  // namespace
}  // namespace nbdring
