#include "cli/bench/load.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "backends/memory.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr std::uint64_t size = 1 << 20;

/// Memory whose requests a test sees, and may spoil.
class WatchedBackend final : public Backend {
 public:
  struct Seen {
    std::set<std::uint64_t> reads;
    std::set<std::uint64_t> writes;
    std::size_t largest_under_way = 0;
  };
  using Spoil = std::function<Status(bool is_write, std::uint64_t offset, std::span<std::byte>)>;

  const Export& about() const override { return memory_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<Lane>(*this, loop);
  }
  Seen seen() {
    const std::lock_guard lock(guard_);
    return seen_;
  }
  Spoil spoil;  // of what a read brings, or of a write
  std::span<std::byte> bytes() { return memory_.bytes(); }

 private:
  class Lane final : public BackendLane {
   public:
    Lane(WatchedBackend& backend, Loop& loop)
        : backend_(backend), loop_(loop), memory_(backend.memory_.open_lane(loop)) {}

    Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
      begin(offset, false);
      co_await loop_.sleep(std::chrono::microseconds(50));
      Status status = co_await memory_->read(offset, buffer);
      if (backend_.spoil) status = backend_.spoil(false, offset, buffer);
      --under_way_;
      co_return status;
    }
    Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool) override {
      begin(offset, true);
      co_await loop_.sleep(std::chrono::microseconds(50));
      Status status;
      if (backend_.spoil) status = backend_.spoil(true, offset, {});
      if (status.is_ok()) {
        status = co_await memory_->write(offset, buffer, false);
      }
      --under_way_;
      co_return status;
    }
    Task<Status> flush() override { co_return Status::ok(); }
    Task<Status> trim(std::uint64_t, std::uint64_t, bool) override { co_return Status::ok(); }
    Task<Status> write_zeroes(std::uint64_t, std::uint64_t, ZeroMode) override {
      co_return Status::ok();
    }
    Task<Status> extents(std::uint64_t, std::uint64_t, ExtentList&) override {
      co_return Status::ok();
    }
    FramePool& frames() override { return loop_.frames(); }

   private:
    void begin(std::uint64_t offset, bool is_write) {
      const std::lock_guard lock(backend_.guard_);
      (is_write ? backend_.seen_.writes : backend_.seen_.reads).insert(offset);
      ++under_way_;
      backend_.seen_.largest_under_way = std::max(backend_.seen_.largest_under_way, under_way_);
    }

    WatchedBackend& backend_;
    Loop& loop_;
    std::unique_ptr<BackendLane> memory_;
    std::size_t under_way_ = 0;
  };

  MemoryBackend memory_{size};
  std::mutex guard_;
  Seen seen_;
};

LoadPlan plan_of(unsigned reads, unsigned depth = 4, unsigned connections = 1) {
  LoadPlan plan;
  plan.point = {Pattern::random, 0, reads, 4096, depth, connections};
  plan.blocks = size / 4096;
  plan.seed = 5;
  plan.serial = 1;
  return plan;
}

void wait_for(const std::function<bool()>& condition) {
  const auto until = Clock::now() + std::chrono::seconds(20);
  while (!condition() && Clock::now() < until) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(condition());
}

/// Measures until there were `requests`, then goes through `last` to the end.
BenchResult run(Backend& backend, const LoadPlan& plan, std::uint64_t requests = 2000) {
  Load load(backend, plan);
  load.set_phase(LoadPhase::measuring);
  wait_for([&] { return load.has_ended() || load.progress().requests >= requests; });
  load.set_phase(plan.verify ? LoadPhase::checking : LoadPhase::ended);
  wait_for([&] { return load.has_ended(); });
  BenchResult result;
  load.report(result);
  return result;
}

TEST(Load, CountsWhatEndsWhileMeasuring) {
  WatchedBackend backend;
  const BenchResult result = run(backend, plan_of(100));
  EXPECT_GE(result.requests, 2000U);
  EXPECT_EQ(result.bytes, result.requests * 4096);
  EXPECT_EQ(result.latencies.count, result.requests);
  EXPECT_GE(result.latencies.p50, 50'000U);  // what each request sleeps
  EXPECT_EQ(result.errors, 0U);
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(backend.seen().reads.size(), size / 4096);
  EXPECT_TRUE(backend.seen().writes.empty());
}

TEST(Load, DoesNotCountTheWarmUp) {
  WatchedBackend backend;
  Load load(backend, plan_of(100));
  wait_for([&] { return load.progress().answered > 100; });
  EXPECT_EQ(load.progress().requests, 0U);
  load.set_phase(LoadPhase::ended);
  wait_for([&] { return load.has_ended(); });
  BenchResult result;
  load.report(result);
  EXPECT_EQ(result.requests + result.latencies.count, 0U);
}

TEST(Load, HasAsManyRequestsUnderWayAsItsDepth) {
  WatchedBackend backend;
  run(backend, plan_of(100, 7));
  EXPECT_EQ(backend.seen().largest_under_way, 7U);
}

TEST(Load, ConnectionsShareTheRangeOutAndMissNothingOfIt) {
  WatchedBackend backend;
  LoadPlan plan = plan_of(100, 2, 3);
  plan.offset = 8192;
  plan.blocks = 100;
  run(backend, plan);
  const auto reads = backend.seen().reads;
  EXPECT_EQ(reads.size(), 100U);
  EXPECT_EQ(*reads.begin(), 8192U);
  EXPECT_EQ(*reads.rbegin(), 8192U + 99 * 4096);
}

TEST(Load, MixesReadsAndWritesAsAsked) {
  WatchedBackend backend;
  std::atomic<int> reads{0};
  std::atomic<int> writes{0};
  backend.spoil = [&](bool is_write, std::uint64_t, std::span<std::byte>) {
    ++(is_write ? writes : reads);
    return Status::ok();
  };
  run(backend, plan_of(70), 5000);
  const double part = static_cast<double>(reads) / (reads + writes);
  EXPECT_NEAR(part, 0.7, 0.04);
}

TEST(Load, WritesWhatCannotBeCompressed) {
  WatchedBackend backend;
  run(backend, plan_of(0));
  const auto block = backend.bytes().first(4096);
  EXPECT_GT(std::set<std::byte>(block.begin(), block.end()).size(), 200U);
}

TEST(Load, LetsTheLoopHaveTurnsOverABackendThatNeverWaits) {
  MemoryBackend memory(size);
  Load load(memory, plan_of(100, 8));
  load.set_phase(LoadPhase::measuring);
  wait_for([&] { return load.progress().requests > 10'000; });
  load.give_up();  // a message, which only a turn delivers
  wait_for([&] { return load.has_ended(); });
}

TEST(Load, VerifiesAllThatItWrote) {
  WatchedBackend backend;
  LoadPlan plan = plan_of(0);
  plan.verify = true;
  const BenchResult result = run(backend, plan);
  EXPECT_EQ(result.verified, size);  // every block was written, each is read back once
  EXPECT_EQ(result.wrong, 0U);
  EXPECT_EQ(result.trouble, "");
}

TEST(Load, VerifiesEveryPatternMixedAndOverSeveralConnections) {
  for (const Pattern pattern : {Pattern::sequential, Pattern::random, Pattern::zipf}) {
    WatchedBackend backend;
    LoadPlan plan = plan_of(50, 8, 3);
    plan.point.pattern = pattern;
    plan.point.theta = 1.5;
    plan.verify = true;
    const BenchResult result = run(backend, plan);
    EXPECT_GT(result.verified, 0U);
    EXPECT_EQ(result.wrong, 0U) << result.trouble;
    EXPECT_EQ(result.trouble, "");
  }
}

TEST(Load, FindsAWriteThatWasNotDone) {
  WatchedBackend backend;
  LoadPlan plan = plan_of(0, 4);
  plan.verify = true;
  std::mutex guard;
  std::vector<std::byte> first;
  backend.spoil = [&](bool is_write, std::uint64_t offset, std::span<std::byte> buffer) {
    const std::lock_guard lock(guard);
    if (offset != 40'960) return Status::ok();
    const auto stored = backend.bytes().subspan(offset, 4096);
    if (is_write && first.empty()) {
      // What the second write finds is the first one.
      if (stored[0] != std::byte{0}) first.assign(stored.begin(), stored.end());
    } else if (!is_write && !first.empty()) {
      std::copy(first.begin(), first.end(), buffer.begin());
    }
    return Status::ok();
  };
  const BenchResult result = run(backend, plan, 4000);
  EXPECT_EQ(result.wrong, 1U);
  EXPECT_THAT(result.trouble, HasSubstr("the block at offset 40960 is stale: generation"));
}

TEST(Load, FindsBytesThatChanged) {
  WatchedBackend backend;
  LoadPlan plan = plan_of(0, 4);
  plan.verify = true;
  backend.spoil = [](bool is_write, std::uint64_t offset, std::span<std::byte> buffer) {
    if (!is_write && offset == 8192) buffer[100] ^= std::byte{1};
    return Status::ok();
  };
  const BenchResult result = run(backend, plan);
  EXPECT_EQ(result.wrong, 1U);
  EXPECT_THAT(result.trouble, HasSubstr("the block at offset 8192 has 1 wrong bytes of 4096, the "
                                        "first at offset 8292: 0x"));
}

TEST(Load, CountsErrorsAndNamesTheFirst) {
  WatchedBackend backend;
  backend.spoil = [](bool, std::uint64_t offset, std::span<std::byte>) {
    return offset == 12'288 ? Status::from_errno(EIO) : Status::ok();
  };
  const BenchResult result = run(backend, plan_of(100));
  EXPECT_GT(result.errors, 0U);
  EXPECT_GE(result.requests, 2000U);
  EXPECT_EQ(result.trouble, "reading 4096 bytes at offset 12288: Input/output error");
}

TEST(Load, AFailedWriteIsNotTakenForWrongBytes) {
  WatchedBackend backend;
  LoadPlan plan = plan_of(0);
  plan.verify = true;
  backend.spoil = [](bool is_write, std::uint64_t offset, std::span<std::byte>) {
    return is_write && offset == 12'288 ? Status::from_errno(ENOSPC) : Status::ok();
  };
  const BenchResult result = run(backend, plan);
  EXPECT_GT(result.errors, 0U);
  EXPECT_EQ(result.wrong, 0U);
  EXPECT_EQ(result.verified, size - 4096);
}

TEST(Load, EndsByItselfWhereThereAreNothingButErrors) {
  WatchedBackend backend;
  backend.spoil = [](bool, std::uint64_t, std::span<std::byte>) { return Status::from_errno(EIO); };
  Load load(backend, plan_of(100));
  load.set_phase(LoadPhase::measuring);
  wait_for([&] { return load.has_ended(); });
  BenchResult result;
  load.report(result);
  EXPECT_EQ(result.requests, 0U);
  EXPECT_GE(result.errors, 100U);
  EXPECT_THAT(result.trouble, HasSubstr("reading 4096 bytes at offset"));
}

}  // namespace
}  // namespace nbdring
