#include "cli/udev_names.hpp"

#include <gtest/gtest.h>

#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

DeviceRecord record_of(const std::string& id) {
  DeviceRecord record;
  record.id = id;
  record.size = 4096;
  record.connections = 1;
  record.pid = 1234;
  return record;
}

TEST(UdevNames, AreThoseOfTheRecord) {
  const TemporaryFolder root;
  const RunFolder folder(root / "run");
  folder.create();
  DeviceRecord record = record_of("file:/srv/my disk.img");
  record.index = 3;
  record.name = "srv";
  const RecordFile file(folder, record);
  EXPECT_EQ(udev_names(folder, 3, Sysfs(root.path())),
            "NBDRING_NAME=srv\nNBDRING_ID_ENC=file:\\x2fsrv\\x2fmy\\x20disk.img\n");
  EXPECT_EQ(udev_names(folder, 4, Sysfs(root.path())), "");
}

TEST(UdevNames, WhatHasNoNameHasItsIdentity) {
  const TemporaryFolder root;
  const RunFolder folder(root / "run");
  folder.create();
  const RecordFile file(folder, record_of("x"));
  EXPECT_EQ(udev_names(folder, 0, Sysfs(root.path())), "NBDRING_ID_ENC=x\n");
}

}  // namespace
}  // namespace nbdring
