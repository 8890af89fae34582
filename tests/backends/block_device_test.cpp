// backends/file.hpp on a block device: a loop device over a temporary file. Needs root and the loop
// driver; skipped elsewhere.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <string>

#include "backends/file.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;

class BlockDeviceTest : public testing::TestWithParam<FileSpec::Cache> {
 protected:
  BlockDeviceTest() : file_(size) { file_.write(0, pattern(1, 0, size)); }
  ~BlockDeviceTest() override {
    user_.reset();
    backend_.reset();
    if (loop_.is_open()) ::ioctl(loop_.get(), LOOP_CLR_FD, 0);
  }

  void SetUp() override {
    // Another process may take the free number before us: ask again.
    constexpr int tries = 50;
    for (int i = 0; i < tries && !loop_.is_open(); ++i) take_free_loop();
    if (!loop_.is_open()) GTEST_SKIP() << "no loop device for us: " << error_text(errno);
    spec_.cache = GetParam();
    backend_ = std::make_unique<FileBackend>(spec_, log_.log());
    user_ = std::make_unique<BackendUser>(*backend_);
  }

  void take_free_loop() {
    const FileDescriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const int index = control.is_open() ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
    if (index < 0) return;
    spec_.path = "/dev/loop" + std::to_string(index);
    FileDescriptor device(::open(spec_.path.c_str(), O_RDWR | O_CLOEXEC));
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(file_.fd());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (!device.is_open() || ::ioctl(device.get(), LOOP_CONFIGURE, &config) != 0) return;
    loop_ = std::move(device);
  }

  // The range reads as zeros through the backend, everything else as the first pattern.
  void expect_zeros(std::uint64_t offset, std::uint64_t length) {
    AlignedBuffer buffer(size);
    EXPECT_EQ(user_->read(0, buffer.span()), 0);
    EXPECT_TRUE(matches_pattern(buffer.span().first(offset), 1, 0));
    EXPECT_TRUE(matches_pattern(buffer.span().subspan(offset, length), 0, offset));
    const std::uint64_t end = offset + length;
    EXPECT_TRUE(matches_pattern(buffer.span().subspan(end), 1, end));
  }

  CapturedLog log_;
  TemporaryFile file_;
  FileDescriptor loop_;
  FileSpec spec_;
  std::unique_ptr<FileBackend> backend_;
  std::unique_ptr<BackendUser> user_;
};

// What only cache=writeback lets a client ask for.
class BlockDeviceSectorTest : public BlockDeviceTest {};

INSTANTIATE_TEST_SUITE_P(Modes, BlockDeviceSectorTest, testing::Values(FileSpec::Cache::writeback));
INSTANTIATE_TEST_SUITE_P(Modes, BlockDeviceTest,
                         testing::Values(FileSpec::Cache::writeback, FileSpec::Cache::none),
                         [](const auto& tested) {
                           return tested.param == FileSpec::Cache::none ? "none" : "writeback";
                         });

TEST_P(BlockDeviceTest, HasItsSizeAndBytes) {
  EXPECT_EQ(backend_->about().size, size);
  EXPECT_EQ(broken_rule(backend_->about()), nullptr);
  expect_zeros(0, 0);
  AlignedBuffer buffer(8192);
  fill_pattern(buffer.span(), 2, 4096);
  EXPECT_EQ(user_->write(4096, buffer.span(), true), 0);
  EXPECT_EQ(user_->flush(), 0);
  const auto bytes = file_.read(4096, 8192);
  EXPECT_TRUE(matches_pattern(bytes, 2, 4096));
}

TEST_P(BlockDeviceTest, TrimsAndZeroesWholeSectors) {
  EXPECT_EQ(user_->trim(65536, 65536), 0);
  ZeroMode stays;
  stays.no_hole = true;
  EXPECT_EQ(user_->write_zeroes(131'072, 4096, stays), 0);
  EXPECT_EQ(user_->write_zeroes(135'168, 4096), 0);
  expect_zeros(65536, 73'728);
}

TEST_P(BlockDeviceSectorTest, ZeroesPartsOfSectorsToo) {
  for (const bool no_hole : {false, true}) {
    ZeroMode mode;
    mode.no_hole = no_hole;
    EXPECT_EQ(user_->write_zeroes(1001, 3000, mode), 0);
  }
  expect_zeros(1001, 3000);
  ZeroMode fast;
  fast.fast_zero = true;
  EXPECT_EQ(user_->write_zeroes(1001, 3000, fast), ENOTSUP);
}

TEST_P(BlockDeviceSectorTest, TakesAdviceAboutPartsOfSectors) {
  EXPECT_EQ(user_->trim(1001, 3000), 0);
  EXPECT_EQ(user_->trim(8192, 4096), 0) << "whole sectors are still trimmed";
  AlignedBuffer buffer(4096);
  EXPECT_EQ(user_->read(8192, buffer.span()), 0);
  EXPECT_TRUE(matches_pattern(buffer.span(), 0, 0));
}

TEST_P(BlockDeviceTest, TellsNoHoles) {
  const auto extents = user_->extents(0, size);
  ASSERT_EQ(extents.size(), 1U);
  EXPECT_EQ(extents[0].length, size);
  EXPECT_EQ(extents[0].flags, 0U);
}

TEST_P(BlockDeviceTest, IsClaimedForOneWriter) {
  try {
    const FileBackend second(spec_, log_.log());
    ADD_FAILURE() << "opened twice";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::busy);
  }
}

}  // namespace
}  // namespace nbdring
