#include "backends/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <tuple>

#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;
using Cache = FileSpec::Cache;

FileSpec spec_of(const TemporaryFile& file, Cache cache = Cache::writeback) {
  FileSpec spec;
  spec.path = file.path();
  spec.cache = cache;
  return spec;
}

FailureKind failure_of(const FileSpec& spec, std::string* text = nullptr) {
  CapturedLog log;
  try {
    const FileBackend backend(spec, log.log());
  } catch (const Failure& failure) {
    if (text != nullptr) *text = failure.what();
    return failure.kind();
  }
  ADD_FAILURE() << spec.path << " was opened";
  return FailureKind::failed;
}

// Every operation, in every cache mode, on a disk and in memory.
class FileBackendTest : public testing::TestWithParam<std::tuple<Cache, const char*>> {
 protected:
  FileBackendTest() : file_(size, std::get<1>(GetParam())) {
    file_.write(0, pattern(1, 0, size));
    spec_ = spec_of(file_, std::get<0>(GetParam()));
  }
  void SetUp() override {
    try {
      backend_ = std::make_unique<FileBackend>(spec_, log_.log());
    } catch (const Failure& failure) {
      GTEST_SKIP() << failure.what();
    }
    user_ = std::make_unique<BackendUser>(*backend_);
  }
  bool is_direct() const { return spec_.cache == Cache::none; }
  bool is_on_disk() const { return std::string(std::get<1>(GetParam())).empty(); }
  std::uint64_t block() const { return backend_->about().block_size.minimum; }

  CapturedLog log_;
  TemporaryFile file_;
  FileSpec spec_;
  std::unique_ptr<FileBackend> backend_;
  std::unique_ptr<BackendUser> user_;
};

INSTANTIATE_TEST_SUITE_P(Modes, FileBackendTest,
                         testing::Combine(testing::Values(Cache::writeback, Cache::none),
                                          testing::Values("", "/dev/shm")),
                         [](const auto& tested) {
                           const bool direct = std::get<0>(tested.param) == Cache::none;
                           const bool disk = std::string(std::get<1>(tested.param)).empty();
                           return std::string(direct ? "none" : "writeback") +
                                  (disk ? "_disk" : "_tmpfs");
                         });

TEST_P(FileBackendTest, FindsTheSizeAndOffersEverything) {
  EXPECT_EQ(broken_rule(backend_->about()), nullptr);
  EXPECT_EQ(backend_->about().size, size);
  EXPECT_FALSE(backend_->about().is_read_only());
  EXPECT_TRUE(backend_->about().has(nbd::flag_send_trim));
  EXPECT_TRUE(backend_->about().has(nbd::flag_send_write_zeroes));
  EXPECT_TRUE(is_direct() || block() == 1);
}

TEST_P(FileBackendTest, ReadsWhatTheFileHolds) {
  AlignedBuffer buffer(300 * 1024);
  for (const std::uint64_t offset : {std::uint64_t{0}, block(), 5 * block(), size - 300 * 1024}) {
    EXPECT_EQ(user_->read(offset, buffer.span()), 0);
    EXPECT_TRUE(matches_pattern(buffer.span(), 1, offset));
  }
}

TEST_P(FileBackendTest, WritesIntoTheFile) {
  for (const bool fua : {false, true}) {
    AlignedBuffer buffer(128 * 1024);
    const std::uint64_t offset = 3 * block();
    const std::uint64_t number = fua ? 3 : 2;
    fill_pattern(buffer.span(), number, offset);
    EXPECT_EQ(user_->write(offset, buffer.span(), fua), 0);
    const auto bytes = file_.read(0, size);
    EXPECT_TRUE(matches_pattern(std::span(bytes).first(offset), 1, 0));
    EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(offset, 128 * 1024), number, offset));
    const std::uint64_t end = offset + 128 * 1024;
    EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(end), 1, end));
  }
  EXPECT_EQ(user_->flush(), 0);
}

TEST_P(FileBackendTest, TrimPunchesAHole) {
  const std::uint64_t before = file_.allocated();
  EXPECT_EQ(user_->trim(64 * 1024, 256 * 1024), 0);
  EXPECT_LE(file_.allocated() + 256 * 1024, before);
  const auto bytes = file_.read(0, size);
  EXPECT_TRUE(matches_pattern(std::span(bytes).first(64 * 1024), 1, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(64 * 1024, 256 * 1024), 0, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(320 * 1024), 1, 320 * 1024));
  EXPECT_EQ(user_->trim(512 * 1024, 4096, true), 0);
}

TEST_P(FileBackendTest, WriteZeroesPunchesAHoleOnlyWhereItMay) {
  const std::uint64_t before = file_.allocated();
  ZeroMode stays;
  stays.no_hole = true;
  stays.fua = true;
  EXPECT_EQ(user_->write_zeroes(0, 256 * 1024, stays), 0);
  EXPECT_GE(file_.allocated(), before) << "NO_HOLE keeps the blocks";
  EXPECT_EQ(user_->write_zeroes(512 * 1024, 256 * 1024), 0);
  EXPECT_LE(file_.allocated() + 256 * 1024, before);
  const auto bytes = file_.read(0, size);
  EXPECT_TRUE(matches_pattern(std::span(bytes).first(256 * 1024), 0, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(256 * 1024, 256 * 1024), 1, 256 * 1024));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(512 * 1024, 256 * 1024), 0, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(768 * 1024), 1, 768 * 1024));
}

TEST_P(FileBackendTest, WriteZeroesWithNoHoleFillsAHole) {
  EXPECT_EQ(user_->trim(0, size), 0);
  EXPECT_LT(file_.allocated(), 64U * 1024);
  ZeroMode stays;
  stays.no_hole = true;
  EXPECT_EQ(user_->write_zeroes(0, 512 * 1024, stays), 0);
  EXPECT_GE(file_.allocated(), 512U * 1024);
}

TEST_P(FileBackendTest, WriteZeroesDoesNotTouchItsNeighbours) {
  const std::uint64_t offset = 4096 + block();
  for (const bool no_hole : {false, true}) {
    file_.write(0, pattern(1, 0, 65536));
    ZeroMode mode;
    mode.no_hole = no_hole;
    EXPECT_EQ(user_->write_zeroes(offset, 8192, mode), 0);
    const auto bytes = file_.read(0, 65536);
    EXPECT_TRUE(matches_pattern(std::span(bytes).first(offset), 1, 0));
    EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(offset, 8192), 0, 0));
    EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(offset + 8192), 1, offset + 8192));
  }
}

TEST_P(FileBackendTest, FastZeroIsFastOrRefused) {
  ZeroMode mode;
  mode.fast_zero = true;
  EXPECT_EQ(user_->write_zeroes(0, 65536, mode), 0) << "a hole is always fast";
  mode.no_hole = true;
  const int error = user_->write_zeroes(65536, 65536, mode);
  EXPECT_TRUE(error == 0 || error == ENOTSUP) << error;
  const auto bytes = file_.read(65536, 65536);
  EXPECT_TRUE(matches_pattern(bytes, error == 0 ? 0 : 1, 65536)) << "refused, yet changed";
}

TEST_P(FileBackendTest, ReadsHolesWithoutFillingThem) {
  EXPECT_EQ(user_->trim(0, size), 0);
  const std::uint64_t before = file_.allocated();
  AlignedBuffer buffer(256 * 1024);
  for (std::uint64_t offset = 0; offset < size; offset += 256 * 1024) {
    EXPECT_EQ(user_->read(offset, buffer.span()), 0);
    EXPECT_TRUE(matches_pattern(buffer.span(), 0, 0));
  }
  EXPECT_EQ(user_->flush(), 0);
  EXPECT_EQ(file_.allocated(), before);
}

TEST_P(FileBackendTest, TellsHolesFromData) {
  EXPECT_EQ(user_->trim(256 * 1024, 512 * 1024), 0);
  const auto extents = user_->extents(0, size);
  ASSERT_EQ(extents.size(), 3U);
  EXPECT_EQ(extents[0].length, 256U * 1024);
  EXPECT_EQ(extents[0].flags, 0U);
  EXPECT_EQ(extents[1].length, 512U * 1024);
  EXPECT_EQ(extents[1].flags, nbd::extent_hole | nbd::extent_zero);
  EXPECT_EQ(extents[2].length, 256U * 1024);
  EXPECT_EQ(extents[2].flags, 0U);
  EXPECT_EQ(user_->extents(0, size, 2).size(), 2U);
  const auto within = user_->extents(300 * 1024, 4096);
  ASSERT_EQ(within.size(), 1U);
  EXPECT_EQ(within[0].length, 4096U);
  EXPECT_NE(within[0].flags, 0U);
}

TEST_P(FileBackendTest, FailsReadsBehindTheEndOfAFileThatWasCutShort) {
  AlignedBuffer buffer(65536);
  for (const std::uint64_t cut : {512 * 1024 + 4096, 512 * 1024 + 1000}) {
    file_.truncate(cut);
    EXPECT_EQ(user_->read(768 * 1024, buffer.span()), EIO);
    EXPECT_EQ(user_->read(512 * 1024, buffer.span()), EIO) << "cut at " << cut;
    EXPECT_EQ(user_->read(0, buffer.span()), 0);
    EXPECT_TRUE(matches_pattern(buffer.span(), 1, 0));
  }
}

TEST_P(FileBackendTest, KeepsASecondWriterOut) {
  std::string text;
  EXPECT_EQ(failure_of(spec_, &text), FailureKind::busy);
  EXPECT_NE(text.find(file_.path()), std::string::npos) << text;
  FileSpec reader = spec_;
  reader.read_only = true;
  EXPECT_EQ(failure_of(reader), FailureKind::busy);
  user_.reset();
  backend_.reset();
  CapturedLog log;
  const FileBackend first(reader, log.log());
  const FileBackend second(reader, log.log());
  EXPECT_TRUE(second.about().is_read_only());
  EXPECT_FALSE(second.about().has(nbd::flag_send_trim));
  EXPECT_EQ(failure_of(spec_), FailureKind::busy);
}

TEST_P(FileBackendTest, ServesAPartOfTheFile) {
  user_.reset();
  backend_.reset();
  spec_.offset = 128 * 1024;
  spec_.size = 256 * 1024;
  FileBackend part(spec_, log_.log());
  BackendUser user(part);
  EXPECT_EQ(part.about().size, 256U * 1024);
  AlignedBuffer buffer(256 * 1024);
  EXPECT_EQ(user.read(0, buffer.span()), 0);
  EXPECT_TRUE(matches_pattern(buffer.span(), 1, 128 * 1024));
  fill_pattern(buffer.span(), 2, 0);
  EXPECT_EQ(user.write(0, buffer.span()), 0);
  EXPECT_EQ(user.trim(0, 128 * 1024), 0);
  const auto bytes = file_.read(0, size);
  EXPECT_TRUE(matches_pattern(std::span(bytes).first(128 * 1024), 1, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(128 * 1024, 128 * 1024), 0, 0));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(256 * 1024, 128 * 1024), 2, 128 * 1024));
  EXPECT_TRUE(matches_pattern(std::span(bytes).subspan(384 * 1024), 1, 384 * 1024));
  const auto extents = user.extents(0, 256 * 1024);
  ASSERT_EQ(extents.size(), 2U);
  EXPECT_EQ(extents[0].length, 128U * 1024);
}

TEST_P(FileBackendTest, RefusesAPartThatIsNotThere) {
  user_.reset();
  backend_.reset();
  FileSpec spec = spec_;
  spec.offset = size + 4096;
  EXPECT_EQ(failure_of(spec), FailureKind::usage);
  spec.offset = size / 2;
  spec.size = size;
  EXPECT_EQ(failure_of(spec), FailureKind::usage);
  spec.offset = UINT64_MAX - 4095;
  spec.size = 8192;
  EXPECT_EQ(failure_of(spec), FailureKind::usage);
  if (!is_direct()) return;
  spec.offset = 1;
  spec.size.reset();
  EXPECT_EQ(failure_of(spec), FailureKind::usage) << "not aligned for O_DIRECT";
}

TEST_P(FileBackendTest, LeavesALastPartialBlockOutWhereItCannotBeReached) {
  user_.reset();
  backend_.reset();
  file_.truncate(size + 100);
  const FileBackend odd(spec_, log_.log());
  EXPECT_EQ(odd.about().size, is_direct() ? size : size + 100);
  EXPECT_EQ(log_.text().find("last bytes") != std::string::npos, is_direct()) << log_.text();
}

TEST(FileBackend, DoesNotOpenWhatIsNoFile) {
  FileSpec spec;
  spec.path = "/dev/zero";
  EXPECT_EQ(failure_of(spec), FailureKind::failed);
  spec.path = "/";
  EXPECT_EQ(failure_of(spec), FailureKind::failed);
  const TemporaryFile file(0);
  const std::string fifo = file.path() + "-fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  spec.path = fifo;
  spec.read_only = true;
  EXPECT_EQ(failure_of(spec), FailureKind::failed) << "and it did not wait for a writer";
  ::unlink(fifo.c_str());
  spec.path = "/nonexistent";
  std::string text;
  EXPECT_NE(failure_of(spec, &text), FailureKind::busy);
  EXPECT_NE(text.find("No such file"), std::string::npos) << text;
}

TEST(FileBackend, TakesAnEmptyFile) {
  const TemporaryFile file(0);
  CapturedLog log;
  const FileBackend backend(spec_of(file), log.log());
  EXPECT_EQ(backend.about().size, 0U);
}

}  // namespace
}  // namespace nbdring
