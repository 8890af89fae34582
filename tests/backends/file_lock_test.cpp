// The lock of a file is what keeps the writes of an engine that was killed from landing after those
// of the next one: it is free only when they have ended.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "backends/file.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t chunk = 1024 * 1024;
constexpr std::uint64_t chunks = 128;

class FileLockTest : public testing::Test {
 protected:
  static FileSpec spec_of(const TemporaryFile& file, FileSpec::Cache cache) {
    FileSpec spec;
    spec.path = file.path();
    spec.cache = cache;
    return spec;
  }
  CapturedLog log_;
};

TEST_F(FileLockTest, IsWaitedForAsLongAsIsSaid) {
  const TemporaryFile file(chunk);
  const FileSpec spec = spec_of(file, FileSpec::Cache::writeback);
  auto holder = std::make_unique<FileBackend>(spec, log_.log());
  auto begin = Clock::now();
  EXPECT_THROW(FileBackend(spec, log_.log(), milliseconds(300)), Failure);
  EXPECT_GE(Clock::now() - begin, milliseconds(300));

  std::thread later([&holder] {
    std::this_thread::sleep_for(milliseconds(300));
    holder.reset();
  });
  begin = Clock::now();
  EXPECT_NO_THROW(FileBackend(spec, log_.log(), milliseconds(20000)));
  EXPECT_GE(Clock::now() - begin, milliseconds(250));
  later.join();
}

TEST_F(FileLockTest, OneProcessOpensAndClosesAgainAndAgain) {
  const TemporaryFile file(chunk);
  const auto begin = Clock::now();
  for (std::uint64_t i = 0; i < 50; ++i) {
    FileBackend backend(spec_of(file, FileSpec::Cache::writeback), log_.log());
    BackendUser user(backend);
    ASSERT_EQ(user.write(0, pattern(i, 0, 4096), true), 0);
  }
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5)) << "it waited for its own lock";
}

/// Writes all chunks at once, again and again.
Task<void> write_all(Loop& loop, BackendLane& lane, std::span<std::byte> buffer, int told) {
  const auto write_one = [&lane](Loop&, std::uint64_t offset,
                                 std::span<const std::byte> bytes) -> Task<void> {
    const Status status = co_await lane.write(offset, bytes, true);
    if (!status.is_ok()) ::_exit(1);
  };
  for (unsigned round = 0;; ++round) {
    std::fill(buffer.begin(), buffer.end(), static_cast<std::byte>(round));
    Scope scope(loop.frames());
    for (std::uint64_t i = 0; i < chunks; ++i) {
      scope.spawn(write_one(loop, i * chunk, buffer));
    }
    if (round == 1 && ::write(told, "x", 1) != 1) ::_exit(1);
    co_await scope.join();
  }
}

[[noreturn]] void write_for_ever(const FileSpec& spec, int told) {
  CapturedLog log;
  FileBackend backend(spec, log.log());
  AlignedBuffer buffer(chunk);
  Loop loop;
  const auto lane = backend.open_lane(loop);
  loop.run(write_all(loop, *lane, buffer.span(), told));
  ::_exit(0);
}

// FNV-1a
std::uint64_t checksum(const TemporaryFile& file) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (std::uint64_t i = 0; i < chunks; ++i) {
    for (const std::byte byte : file.read(i * chunk, 4096)) {
      sum = (sum ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    for (const std::byte byte : file.read((i + 1) * chunk - 4096, 4096)) {
      sum = (sum ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
  }
  return sum;
}

class FileLockKillTest : public FileLockTest,
                         public testing::WithParamInterface<FileSpec::Cache> {};

INSTANTIATE_TEST_SUITE_P(BufferedAndDirect, FileLockKillTest,
                         testing::Values(FileSpec::Cache::writeback, FileSpec::Cache::none));

TEST_P(FileLockKillTest, NothingOfAKilledEngineLandsBehindIt) {
  const TemporaryFile file(chunk * chunks);
  const FileSpec spec = spec_of(file, GetParam());
  for (int round = 0; round < 5; ++round) {
    int told[2];
    ASSERT_EQ(::pipe(told), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(spec, told[1]);
    char byte = 0;
    ::close(told[1]);
    const ssize_t heard = ::read(told[0], &byte, 1);
    ::close(told[0]);
    if (heard != 1) {
      ::waitpid(child, nullptr, 0);
      GTEST_SKIP() << "no O_DIRECT here";
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    // Not reaped, nor waited for: the lock alone tells.
    const FileBackend next(spec, log_.log(), milliseconds(20000));
    const std::uint64_t sum = checksum(file);
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_EQ(checksum(file), sum) << "a write came after the lock";
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  }
}

}  // namespace
}  // namespace nbdring
