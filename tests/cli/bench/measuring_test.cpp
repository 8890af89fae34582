#include "cli/bench/measuring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "backends/memory.hpp"
#include "backends/null.hpp"
#include "tests/support/gated_backend.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

class MeasuringTest : public ::testing::Test {
 protected:
  MeasuringTest() {
    settings_.points = {{Pattern::random, 0, 100, 4096, 2, 1}};
    settings_.run_time = milliseconds(250);
    settings_.warm_up = milliseconds(25);
  }
  ~MeasuringTest() override { signals_.restore(); }

  void add_target(const std::string& name, std::unique_ptr<Backend> backend) {
    BenchTarget target;
    target.name = name;
    target.index = targets_.size();
    target.size = backend->about().size;
    target.backend = std::move(backend);
    targets_.push_back(std::move(target));
  }
  std::vector<BenchResult> run() {
    measuring_.emplace(settings_, targets_, signals_, progress_, log_);
    measuring_->run();
    return measuring_->results();
  }

  TerminationSignals signals_;
  BenchSettings settings_;
  std::vector<BenchTarget> targets_;
  Log log_{LogLevel::error, LogFormat::text, -1};
  Progress progress_{-1, 1, 1};
  std::optional<Measuring> measuring_;
};

TEST_F(MeasuringTest, MeasuresForTheTimeAskedFor) {
  add_target("m", std::make_unique<MemoryBackend>(1 << 20));
  const auto results = run();
  ASSERT_EQ(results.size(), 1U);
  const BenchResult& result = results.front();
  EXPECT_EQ(result.target, "m");
  EXPECT_GE(result.seconds, 0.25);
  EXPECT_LT(result.seconds, 5);
  EXPECT_GT(result.requests, 0U);
  EXPECT_EQ(result.latencies.count, result.requests);
  EXPECT_GT(result.client_cpu_us, 0);
  EXPECT_EQ(result.engine_cpu_us, std::nullopt);
  EXPECT_FALSE(result.was_interrupted);
  EXPECT_EQ(measuring_->signal(), 0);
}

TEST_F(MeasuringTest, TargetsTakeTurnsAndEverySecondRoundGoesBackwards) {
  add_target("a", std::make_unique<NullBackend>(1 << 20));
  add_target("b", std::make_unique<NullBackend>(1 << 20));
  settings_.points.push_back({Pattern::sequential, 0, 100, 4096, 1, 2});
  settings_.rounds = 2;
  std::vector<std::string> order;
  for (const BenchResult& result : run()) {
    order.push_back(result.target + " " + name_of(result.point.pattern) + " " +
                    std::to_string(result.round));
  }
  EXPECT_THAT(order, ElementsAre("a random 1", "b random 1", "a sequential 1", "b sequential 1",
                                 "b random 2", "a random 2", "b sequential 2", "a sequential 2"));
}

TEST_F(MeasuringTest, VerifiesInEveryPointAnew) {
  add_target("m", std::make_unique<MemoryBackend>(1 << 18));
  settings_.verify = settings_.may_write = true;
  settings_.points = {{Pattern::random, 0, 0, 4096, 2, 2}, {Pattern::random, 0, 50, 512, 2, 1}};
  for (const BenchResult& result : run()) {
    EXPECT_GT(result.verified, 0U);
    EXPECT_EQ(result.wrong, 0U) << result.trouble;
    EXPECT_EQ(result.trouble, "");
  }
}

TEST_F(MeasuringTest, ASignalEndsItWithWhatThereIs) {
  add_target("m", std::make_unique<NullBackend>(1 << 20));
  settings_.run_time = std::chrono::seconds(60);
  settings_.rounds = 3;
  std::thread somebody([] {
    std::this_thread::sleep_for(milliseconds(1000));
    ::kill(::getpid(), SIGINT);
  });
  const auto begin = Clock::now();
  const auto results = run();
  somebody.join();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(measuring_->signal(), SIGINT);
  ASSERT_EQ(results.size(), 1U);
  EXPECT_TRUE(results.front().was_interrupted);
  EXPECT_GT(results.front().requests, 0U);
}

// The gate ends its waiters when somebody opens it, and not before: as a server that hangs.
TEST_F(MeasuringTest, ATargetThatHangsIsGivenUpAndTheOthersGoOn) {
  static NullBackend inner(1 << 20);
  auto gated = std::make_unique<GatedBackend>(inner);
  GatedBackend& gate = *gated;
  add_target("hangs", std::move(gated));
  add_target("well", std::make_unique<NullBackend>(1 << 20));
  settings_.silence_max = milliseconds(300);
  settings_.rounds = 2;
  const auto results = run();
  EXPECT_TRUE(measuring_->has_stuck_lane());
  gate.open_gate();
  while (measuring_->has_stuck_lane()) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].target, "hangs");
  EXPECT_EQ(results[0].requests, 0U);
  EXPECT_EQ(results[0].trouble, "no reply for 300 ms, given up");
  EXPECT_EQ(results[1].target, "well");
  EXPECT_EQ(results[2].target, "well");
  EXPECT_GT(results[2].requests, 0U);
}

}  // namespace
}  // namespace nbdring
