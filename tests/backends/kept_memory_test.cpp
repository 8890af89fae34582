// What memory: and cow leave to the next engine of their device.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "backends/layers/cow.hpp"
#include "backends/memory.hpp"
#include "backends/open.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/held_keepsakes.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t block = 64 * 1024;
constexpr std::uint64_t size = 40 * block;

class KeptMemoryTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> open(const std::string& text, const std::vector<std::string>& layers,
                                bool after_crash) {
    OpenOptions options;
    options.keepsakes = &kept_;
    options.after_crash = after_crash;
    options.layers = parse_layers(layers);
    return open_backend(parse_backend_spec(text), options, log_.log());
  }
  static bool reads(Backend& backend, std::uint64_t number, std::uint64_t offset,
                    std::size_t length) {
    std::vector<std::byte> bytes(length);
    BackendUser user(backend);
    return user.read(offset, bytes) == 0 && matches_pattern(bytes, number, offset);
  }

  HeldKeepsakes kept_;
  CapturedLog log_;
};

TEST_F(KeptMemoryTest, MemoryOutlivesItsEngine) {
  {
    const auto backend = open("memory:1M", {}, false);
    BackendUser user(*backend);
    ASSERT_EQ(user.write(5000, pattern(1, 5000, 9000)), 0);
    ASSERT_EQ(user.write(100000, pattern(2, 100000, 70000)), 0);
    ASSERT_EQ(user.trim(102400, 16384), 0);
  }
  const auto backend = open("memory:1M", {}, true);
  EXPECT_TRUE(reads(*backend, 1, 5000, 9000));
  EXPECT_TRUE(reads(*backend, 2, 100000, 2400));
  EXPECT_TRUE(reads(*backend, 2, 102400 + 16384, 8192));
  std::vector<std::byte> bytes(16384, std::byte{1});
  BackendUser user(*backend);
  ASSERT_EQ(user.read(102400, bytes), 0);
  EXPECT_EQ(bytes, std::vector<std::byte>(16384));
}

TEST_F(KeptMemoryTest, MemoryThatIsTrimmedIsGivenBack) {
  const auto backend = open("memory:1M", {}, false);
  BackendUser user(*backend);
  ASSERT_EQ(user.write(0, pattern(1, 0, 1048576)), 0);
  struct stat facts {};
  const auto held = kept_.find("memory");
  ASSERT_EQ(::fstat(held->get(), &facts), 0);
  EXPECT_EQ(facts.st_blocks, 2048);
  ASSERT_EQ(user.trim(0, 524288), 0);
  ASSERT_EQ(::fstat(held->get(), &facts), 0);
  EXPECT_EQ(facts.st_blocks, 1024);
}

TEST_F(KeptMemoryTest, WhatIsLostIsNotReplacedByZeros) {
  EXPECT_THROW(open("memory:1M", {}, true), Failure);
  EXPECT_THROW(open("memory:1M", {"cow"}, true), Failure);
  { open("memory:1M", {"cow"}, false); }
  kept_.drop("cow-0-data");
  EXPECT_THROW(open("memory:1M", {"cow"}, true), Failure);
}

TEST_F(KeptMemoryTest, MemoryKeepsItsSize) {
  { open("memory:1M", {}, false); }
  EXPECT_THROW(open("memory:2M", {}, false), Failure);
}

TEST_F(KeptMemoryTest, TwoLayersDoNotShareTheirKeepsakes) {
  {
    const auto backend = open("memory:1M", {"cow", "cow"}, false);
    BackendUser user(*backend);
    ASSERT_EQ(user.write(0, pattern(1, 0, 4096)), 0);
  }
  EXPECT_TRUE(kept_.has("cow-0-map"));
  EXPECT_TRUE(kept_.has("cow-1-data"));
  EXPECT_TRUE(reads(*open("memory:1M", {"cow", "cow"}, true), 1, 0, 4096));
}

TEST_F(KeptMemoryTest, AnOverlayWithANameHasItsMapFromMemoryAndItsFileForLater) {
  TemporaryFile overlay(0);
  const std::string layer = "cow=" + overlay.path();
  {
    const auto backend = open("memory:4M", {layer}, false);
    BackendUser user(*backend);
    ASSERT_EQ(user.write(block, pattern(1, block, block)), 0);  // and no flush
  }
  {
    const auto backend = open("memory:4M", {layer}, true);
    EXPECT_TRUE(reads(*backend, 1, block, block));
    BackendUser user(*backend);
    ASSERT_EQ(user.flush(), 0);  // saves what the former one had not
  }
  kept_.drop("cow-0-map");
  EXPECT_TRUE(reads(*open("memory:4M", {layer}, false), 1, block, block));
}

TEST_F(KeptMemoryTest, AnOverlayThatWasEmptiedIsRefused) {
  TemporaryFile overlay(0);
  const std::string layer = "cow=" + overlay.path();
  { open("memory:4M", {layer}, false); }
  overlay.truncate(0);
  EXPECT_THROW(open("memory:4M", {layer}, true), Failure);
}

/// The child writes blocks and tells which version of each it has been acknowledged.
struct Progress {
  std::atomic<std::uint64_t> begun[40];
  std::atomic<std::uint64_t> acknowledged[40];
};

[[noreturn]] void write_for_ever(Backend& backend, Progress& progress, std::uint64_t seed) {
  Random random(seed);
  BackendUser user(backend);
  for (std::uint64_t version = 1;; ++version) {
    const std::uint64_t index = random.below(40);
    progress.begun[index] = version;
    // A part of the block: the rest is copied from below first.
    const std::uint64_t offset = index * block + 4096;
    if (user.write(offset, pattern(version, offset, 8192)) != 0) ::_exit(1);
    progress.acknowledged[index] = version;
  }
}

class CowCrashTest : public KeptMemoryTest, public testing::WithParamInterface<bool> {
 protected:
  // Each block: the base's around what was acknowledged last, or was just being written.
  void check(Backend& backend, const Progress& progress) {
    BackendUser user(backend);
    std::vector<std::byte> bytes(block);
    for (std::uint64_t index = 0; index < 40; ++index) {
      ASSERT_EQ(user.read(index * block, bytes), 0);
      const std::uint64_t offset = index * block + 4096;
      const auto written = std::span(bytes).subspan(4096, 8192);
      const std::uint64_t last = progress.acknowledged[index];
      const bool is_last = last == 0 ? matches_pattern(written, base_number, offset)
                                     : matches_pattern(written, last, offset);
      const bool is_torn = progress.begun[index] != last;  // the one that was killed
      EXPECT_TRUE(is_last || is_torn) << "block " << index;
      EXPECT_TRUE(matches_pattern(std::span(bytes).first(4096), base_number, index * block));
      EXPECT_TRUE(
          matches_pattern(std::span(bytes).subspan(12288), base_number, index * block + 12288));
    }
  }
  static constexpr std::uint64_t base_number = 1'000'000'000;
};

INSTANTIATE_TEST_SUITE_P(NamelessAndNamed, CowCrashTest, testing::Bool());

TEST_P(CowCrashTest, WhatWasAcknowledgedIsThereAfterAKill) {
  const TemporaryFile base(size);
  base.write(0, pattern(base_number, 0, size));
  const FileDescriptor memory = make_memory("progress", 4096);
  Mapping mapping(memory.get(), 0, 4096);
  auto& progress = *reinterpret_cast<Progress*>(mapping.bytes().data());
  std::uint64_t acknowledged = 0;
  for (std::uint64_t round = 0; round < 25; ++round) {
    kept_.lose_all();
    const TemporaryFile overlay(0);
    const std::vector<std::string> layers{GetParam() ? "cow=" + overlay.path() : "cow"};
    const std::string file = "file:" + base.path();
    { open(file, layers, false); }  // the parent holds the keepsakes, as a keeper would
    std::fill(mapping.bytes().begin(), mapping.bytes().end(), std::byte{0});
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(*open(file, layers, false), progress, round);
    ::usleep(static_cast<useconds_t>(5000 + 777 * round));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    check(*open(file, layers, true), progress);
    for (const auto& one : progress.acknowledged) acknowledged += one != 0 ? 1 : 0;
  }
  EXPECT_GT(acknowledged, 50U);
}

}  // namespace
}  // namespace nbdring
