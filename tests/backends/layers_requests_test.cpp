// The layers that treat all requests alike: rate, delay, error, log.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include "tests/backends/layers_stack.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 1024 * 1024;

template <typename Do>
milliseconds time_of(Do&& what) {
  const auto begin = Clock::now();
  what();
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
}

TEST(DelayLayer, EachCommandWaitsItsTime) {
  LayerStack stack(size, {"delay=read:30,write:60,flush:0"});
  std::vector<std::byte> buffer(512);
  EXPECT_GE(time_of([&] { EXPECT_EQ(stack->read(0, buffer), 0); }), milliseconds(30));
  EXPECT_GE(time_of([&] { EXPECT_EQ(stack->write(0, buffer), 0); }), milliseconds(60));
  EXPECT_GE(time_of([&] { EXPECT_EQ(stack->trim(0, 512), 0); }), milliseconds(60));
  EXPECT_GE(time_of([&] { EXPECT_EQ(stack->write_zeroes(0, 512), 0); }), milliseconds(60));
  EXPECT_LT(time_of([&] { EXPECT_EQ(stack->flush(), 0); }), milliseconds(30));
  EXPECT_LT(time_of([&] { stack->extents(0, 512); }), milliseconds(30));
}

TEST(DelayLayer, OneNumberIsForAll) {
  LayerStack stack(size, {"delay=120"});
  EXPECT_GE(time_of([&] { EXPECT_EQ(stack->flush(), 0); }), milliseconds(120));
  EXPECT_GE(time_of([&] { stack->extents(0, 512); }), milliseconds(120));
}

TEST(DelayLayer, ManyRequestsWaitAtOnce) {
  LayerStack stack(size, {"delay=200"});
  LaneFixture fixture(stack.backend(), LaneOptions());
  ASSERT_EQ(fixture.wait_serving(), LaneState::serving);
  const auto took = time_of([&] {
    for (unsigned i = 0; i < 64; ++i) {
      fixture.client().send(make_request(nbd::cmd_read, i * 512, 512));
    }
    for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(fixture.client().reply().error, 0U);
  });
  EXPECT_GE(took, milliseconds(200));
  EXPECT_LT(took, milliseconds(2000));
}

TEST(DelayLayer, AbandonedItDoesNotWait) {
  LayerStack stack(size, {"delay=60000"});
  std::vector<std::byte> buffer(512);
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stack.backend().abandon();
  });
  EXPECT_EQ(stack->read(0, buffer), EIO);
  other.join();
  EXPECT_EQ(stack->write(0, buffer), EIO);
}

TEST(RateLayer, HoldsItsRateOverReadsAndWritesTogether) {
  LayerStack stack(size, {"rate=1M/s"});
  std::vector<std::byte> buffer(64 * 1024);
  const auto took = time_of([&] {
    for (unsigned i = 0; i < 4; ++i) {
      EXPECT_EQ(stack->read(i * 65536, buffer), 0);
      EXPECT_EQ(stack->write(i * 65536, buffer), 0);
    }
  });
  // 512 KiB take 500 ms less the eighth of a second and the request that go at once.
  EXPECT_GE(took, milliseconds(300));
  EXPECT_LT(took, milliseconds(2000));
  EXPECT_LT(time_of([&] { EXPECT_EQ(stack->flush(), 0); }), milliseconds(100));
  EXPECT_LT(time_of([&] { EXPECT_EQ(stack->write_zeroes(0, size), 0); }), milliseconds(100));
}

TEST(RateLayer, IsOneForAllLanes) {
  LayerStack stack(size, {"rate=1M"});
  const auto took = time_of([&] {
    std::vector<std::thread> lanes;
    for (unsigned lane = 0; lane < 4; ++lane) {
      lanes.emplace_back([&stack] {
        BackendUser user(stack.backend());
        std::vector<std::byte> buffer(64 * 1024);
        for (unsigned i = 0; i < 2; ++i) EXPECT_EQ(user.read(0, buffer), 0);
      });
    }
    for (auto& lane : lanes) lane.join();
  });
  EXPECT_GE(took, milliseconds(300));
}

TEST(RateLayer, AbandonedItDoesNotWait) {
  LayerStack stack(size, {"rate=512"});
  std::vector<std::byte> buffer(65536);
  ASSERT_EQ(stack->read(0, buffer), 0);
  stack.backend().abandon();
  EXPECT_EQ(stack->read(0, buffer), EIO);
}

TEST(ErrorLayer, FailsWhatItNames) {
  LayerStack stack(size, {"error=ENOSPC:write"});
  std::vector<std::byte> buffer(512);
  EXPECT_EQ(stack->write(0, buffer), ENOSPC);
  EXPECT_EQ(stack->read(0, buffer), 0);
  EXPECT_EQ(stack->write_zeroes(0, 512), 0);
  EXPECT_TRUE(matches_pattern(stack.bytes().subspan(512), 1, 512));
}

TEST(ErrorLayer, FailsEverythingWhereNothingIsNamed) {
  LayerStack stack(size, {"error=EIO"});
  std::vector<std::byte> buffer(512);
  std::vector<nbd::Extent> extents(4);
  ExtentList list{extents, 0};
  EXPECT_EQ(stack->write(0, buffer), EIO);
  EXPECT_EQ(stack->read(0, buffer), EIO);
  EXPECT_EQ(stack->flush(), EIO);
  EXPECT_EQ(stack->trim(0, 512), EIO);
  EXPECT_EQ(stack->write_zeroes(0, 512), EIO);
  EXPECT_EQ(stack->extents(0, 512, list), EIO);
  EXPECT_TRUE(matches_pattern(stack.bytes(), 1, 0));
}

TEST(ErrorLayer, FailsAShare) {
  LayerStack stack(size, {"error=EIO:25%:read"});
  std::vector<std::byte> buffer(512);
  unsigned failed = 0;
  for (unsigned i = 0; i < 1000; ++i) failed += stack->read(0, buffer) == EIO ? 1 : 0;
  EXPECT_GT(failed, 150U);  // both are more than seven standard deviations away
  EXPECT_LT(failed, 350U);
  LayerStack never(size, {"error=EIO:0%"});
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(never->read(0, buffer), 0);
}

TEST(ErrorLayer, FailsWhileAFileIsThere) {
  const TemporaryFile file(1);
  LayerStack stack(size, {"error=EPERM:read:file=" + file.path() + ":x"});
  LayerStack other(size, {"error=EPERM:100%:file=" + file.path()});
  std::vector<std::byte> buffer(512);
  EXPECT_EQ(stack->read(0, buffer), 0);
  EXPECT_EQ(other->read(0, buffer), EPERM);
  std::ofstream(file.path() + ":x") << "x";
  EXPECT_EQ(stack->read(0, buffer), EPERM);
  std::filesystem::remove(file.path() + ":x");
  EXPECT_EQ(stack->read(0, buffer), 0);
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(LogLayer, HasALineForEachRequest) {
  const TemporaryFile file(0);
  {
    LayerStack stack(size, {"log=" + file.path(), "error=ENOSPC:trim"});
    std::vector<std::byte> buffer(512);
    EXPECT_EQ(stack->write(4096, buffer, true), 0);
    EXPECT_EQ(stack->trim(0, 1024), ENOSPC);
    EXPECT_EQ(stack->write_zeroes(0, 512, {true, true, true}), 0);
    EXPECT_EQ(stack->flush(), 0);
    BackendUser second(stack.backend());
    EXPECT_EQ(second.read(512, buffer), 0);
  }
  const std::string times = R"(start=\d{10}\.\d{6} end=\d{10}\.\d{6} us=\d+ )";
  const char* expected[] = {
      "lane=0 command=write offset=4096 length=512 flags=fua result=ok",
      "lane=0 command=trim offset=0 length=1024 flags=none result=ENOSPC",
      "lane=0 command=zero offset=0 length=512 flags=fast-zero,no-hole,fua result=ok",
      "lane=0 command=flush offset=0 length=0 flags=none result=ok",
      "lane=1 command=read offset=512 length=512 flags=none result=ok",
  };
  const auto lines = lines_of(file.path());
  ASSERT_EQ(lines.size(), std::size(expected));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_TRUE(std::regex_match(lines[i], std::regex(times + expected[i]))) << lines[i];
  }
}

TEST(LogLayer, AFullDiskLosesLinesAndNoRequest) {
  CapturedLog log;
  {
    auto backend = over(std::make_unique<MemoryBackend>(size), {"log=/dev/full"}, log.log());
    BackendUser user(*backend);
    std::vector<std::byte> buffer(512);
    EXPECT_EQ(user.read(0, buffer), 0);
  }
  EXPECT_THAT(log.text(), testing::HasSubstr("requests=1"));
}

TEST(LogLayer, AFileThatCannotBeWrittenIsToldAtOnce) {
  EXPECT_THAT(refusal(size, {"log=/nowhere/at/all"}), testing::HasSubstr("cannot be opened"));
}

// As many layers as there may be, those among them that wait, and as many requests as a lane takes.
TEST(Layers, OfAllThatThereMayBeNoneAllocatesPerRequest) {
  const TemporaryFile file(0);
  std::vector<std::string> layers{"log=" + file.path(), "offset=4K", "error=EIO:0%"};
  while (layers.size() < 15) layers.insert(layers.end(), {"delay=1", "rate=1T"});
  layers.push_back("blocksize=512");
  LayerStack stack(size, layers);
  LaneFixture fixture(stack.backend(), LaneOptions());
  ASSERT_EQ(fixture.wait_serving(), LaneState::serving);
  for (unsigned round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 128; ++i) {
      fixture.client().send(make_request(nbd::cmd_read, i * 512, 512));
    }
    for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(fixture.client().reply().error, 0U);
  }
  fixture.client().close();
  fixture.end();
  EXPECT_EQ(fixture.frame_fallbacks(), 0U);
}

}  // namespace
}  // namespace nbdring
