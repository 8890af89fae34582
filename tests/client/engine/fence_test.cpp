#include "client/engine/fence.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

using std::chrono::seconds;

Ghost change(std::uint64_t offset, std::uint64_t length) {
  Ghost ghost;
  ghost.offset = offset;
  ghost.length = length;
  return ghost;
}

// All lanes on one loop, which runs what the test's body awaits.
class FenceTest : public testing::Test {
 public:
  FramePool& frames() { return loop_.frames(); }

 protected:
  Task<void> begin(FenceLane& lane, Ghost& ghost, bool declared) {
    const bool admitted = co_await lane.admit(ghost, declared);
    admitted_.push_back(admitted);
  }
  Task<void> turns() { co_await loop_.sleep(std::chrono::milliseconds(1)); }
  void run_turns() { loop_.run(turns()); }

  Loop loop_;
  std::vector<bool> admitted_;
};

TEST_F(FenceTest, IsClearWhileThereIsNoGhost) {
  Fence fence(2, seconds(0));
  FenceLane lane(fence, 0, loop_);
  EXPECT_TRUE(lane.is_clear(Clock::now()));
  EXPECT_FALSE(lane.is_old(Clock::time_point{}, Clock::now()));  // nothing ever is
  Ghost ghost = change(0, 4096);
  lane.declare(ghost);
  EXPECT_FALSE(lane.is_clear(Clock::now()));
  lane.withdraw(ghost);
  EXPECT_TRUE(lane.is_clear(Clock::now()));
}

TEST_F(FenceTest, WaitsForEveryOtherLanesLook) {
  Fence fence(3, seconds(16));
  FenceLane first(fence, 0, loop_), second(fence, 1, loop_);
  const auto now = Clock::now();
  first.looked(now);
  second.looked(now);  // the third does not serve: nobody waits for it
  EXPECT_TRUE(first.others_have_looked(now + seconds(8)));
  EXPECT_FALSE(first.others_have_looked(now + seconds(9)));
  first.looked(now + seconds(9));  // its own look is no help
  EXPECT_FALSE(first.is_clear(now + seconds(9)));
  second.looked(now + seconds(4));
  EXPECT_TRUE(first.is_clear(now + seconds(9)));
  second.leave();
  EXPECT_TRUE(first.is_clear(now + seconds(1000)));
}

TEST_F(FenceTest, CallsAChangeOldFromHalfTheTimerOn) {
  Fence fence(1, seconds(15));
  FenceLane lane(fence, 0, loop_);
  const auto now = Clock::now();
  EXPECT_FALSE(lane.is_old(now - seconds(15), now));
  EXPECT_TRUE(lane.is_old(now - seconds(16), now));
  EXPECT_LE(4 * lane.time_between_looks(), seconds(15));
}

TEST_F(FenceTest, KeepsOthersOffAGhostAndItsOwnLaneNot) {
  Fence fence(2, seconds(0));
  FenceLane first(fence, 0, loop_), second(fence, 1, loop_);
  Ghost ghost = change(4096, 4096);
  first.declare(ghost);
  Ghost before = change(0, 4096), behind = change(8192, 4096), own = change(4096, 512);
  Ghost front = change(0, 4097), back = change(8191, 1), inside = change(5000, 1);
  Scope scope(frames());
  scope.spawn(begin(second, before, false));
  scope.spawn(begin(second, behind, false));
  scope.spawn(begin(first, own, false));
  EXPECT_EQ(admitted_, std::vector<bool>(3, true));
  scope.spawn(begin(second, front, false));
  scope.spawn(begin(second, back, false));
  scope.spawn(begin(second, inside, false));
  run_turns();
  EXPECT_EQ(admitted_.size(), 3U);
  EXPECT_EQ(fence.waits(), 3U);
  first.withdraw(ghost);
  EXPECT_EQ(admitted_.size(), 3U);  // they are resumed on their own loop
  run_turns();
  EXPECT_EQ(admitted_.size(), 6U);
  EXPECT_FALSE(admitted_.back());  // to try again
}

TEST_F(FenceTest, WaitsForTheLastGhostThatOverlaps) {
  Fence fence(3, seconds(0));
  FenceLane first(fence, 0, loop_), second(fence, 1, loop_), third(fence, 2, loop_);
  Ghost one = change(0, 4096), other = change(4096, 4096), wide = change(0, 8192);
  first.declare(one);
  second.declare(other);
  Scope scope(frames());
  scope.spawn(begin(third, wide, false));
  first.withdraw(one);
  run_turns();
  EXPECT_TRUE(admitted_.empty());
  second.withdraw(other);
  run_turns();
  EXPECT_EQ(admitted_.size(), 1U);
}

TEST_F(FenceTest, DeclaresAnOldChangeInTheStepThatAdmitsIt) {
  Fence fence(2, seconds(0));
  FenceLane first(fence, 0, loop_), second(fence, 1, loop_);
  Ghost old = change(0, 4096), copy = change(0, 4096);
  Scope scope(frames());
  scope.spawn(begin(first, old, true));
  EXPECT_TRUE(old.is_declared);
  scope.spawn(begin(second, copy, false));
  EXPECT_EQ(admitted_.size(), 1U);
  first.withdraw(old);
  run_turns();
  EXPECT_EQ(admitted_.size(), 2U);
}

TEST_F(FenceTest, EndsTheWaitsOfALaneThatLeaves) {
  Fence fence(2, seconds(0));
  FenceLane first(fence, 0, loop_);
  Ghost ghost = change(0, 4096), waits = change(0, 4096), released = change(0, 4096);
  first.declare(ghost);
  {
    FenceLane second(fence, 1, loop_);
    Scope scope(frames());
    scope.spawn(begin(second, waits, false));
    scope.spawn(begin(second, released, false));
    second.leave();
    EXPECT_EQ(admitted_, std::vector<bool>(2, false));
    EXPECT_FALSE(second.is_clear(Clock::now()));
  }
  first.withdraw(ghost);
  run_turns();
  EXPECT_EQ(admitted_.size(), 2U);
}

// The next connection of the same lane looks: what the former one does at its end is no look.
TEST_F(FenceTest, LeavesTheLookToTheNextConnection) {
  Fence fence(2, seconds(16));
  FenceLane other(fence, 1, loop_);
  auto former = std::make_unique<FenceLane>(fence, 0, loop_);
  former->leave();
  FenceLane next(fence, 0, loop_);
  const auto now = Clock::now();
  next.looked(now - seconds(100));
  former.reset();
  EXPECT_FALSE(other.others_have_looked(now));
}

// A ghost that ends on another thread wakes who waits, each time.
TEST_F(FenceTest, WakesAcrossThreads) {
  Fence fence(2, seconds(0));
  FenceLane waiting(fence, 0, loop_);
  for (int i = 0; i < 200; ++i) {
    Ghost ghost = change(0, 4096), waits = change(0, 4096);
    std::thread other([&] {
      Loop loop;
      FenceLane lane(fence, 1, loop);
      lane.declare(ghost);
      std::this_thread::yield();
      lane.withdraw(ghost);
    });
    loop_.run(begin(waiting, waits, false));
    other.join();
  }
  EXPECT_EQ(admitted_.size(), 200U);
}

}  // namespace
}  // namespace nbdring
