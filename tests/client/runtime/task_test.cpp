// The canary for GCC 12's coroutine miscompiles: the four allowed shapes of co_await, run with a
// type that counts its copies and deaths, so that a compiler that breaks one of them is noticed
// here and not on somebody's disk.
#include "client/runtime/task.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {
namespace {

class Counted {
 public:
  Counted(int& alive, int value) : alive_(&alive), value_(value) { ++*alive_; }
  Counted(const Counted& other) : alive_(other.alive_), value_(other.value_) { ++*alive_; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --*alive_; }
  int value() const { return value_; }

 private:
  int* alive_;
  int value_;
};

Task<Counted> make_counted(Loop&, int& alive, int value) { co_return Counted(alive, value); }

Task<int> value_of(Loop&, Counted counted) { co_return counted.value(); }

Task<Counted> pass_on(Loop& loop, int& alive, int value) {
  co_return co_await make_counted(loop, alive, value);
}

Task<void> all_shapes(Loop& loop, int& alive, int& sum) {
  co_await make_counted(loop, alive, 1);
  const Counted initialised = co_await make_counted(loop, alive, 2);
  Counted assigned(alive, 0);
  assigned = co_await pass_on(loop, alive, 3);
  const int passed = co_await value_of(loop, initialised);
  sum = passed + assigned.value();
}

TEST(Task, AllowedShapesOfAwaitCopyAndDestroyEachValueOnce) {
  Loop loop;
  int alive = 0;
  int sum = 0;
  loop.run(all_shapes(loop, alive, sum));
  EXPECT_EQ(sum, 5);
  EXPECT_EQ(alive, 0);
}

Task<void> no_local_in_the_outer_scope(Loop& loop, int& turns) {
  while (turns < 3) {
    co_await loop.sleep(Clock::duration::zero());
    ++turns;
  }
}

TEST(Task, RunsBodyWithoutLocals) {
  Loop loop;
  int turns = 0;
  loop.run(no_local_in_the_outer_scope(loop, turns));
  EXPECT_EQ(turns, 3);
}

Task<int> one(Loop&) { co_return 1; }

Task<void> count_up(Loop& loop, int limit, int& sum) {
  for (int i = 0; i < limit; ++i) {
    const int result = co_await one(loop);
    sum += result;
  }
}

TEST(Task, StackStaysFlatOverAMillionTasksThatCompleteAtOnce) {
  Loop loop;
  int sum = 0;
  loop.run(count_up(loop, 1'000'000, sum));
  EXPECT_EQ(sum, 1'000'000);
}

TEST(Task, FramesComeFromThePoolAndAreReused) {
  Loop loop;
  int sum = 0;
  loop.run(count_up(loop, 10'000, sum));
  EXPECT_EQ(loop.frames().fallbacks(), 0u);
}

Task<int> throwing(Loop&) {
  throw std::runtime_error("no disk");
  co_return 0;
}

Task<void> catching(Loop& loop, std::string& what) {
  try {
    const int unused = co_await throwing(loop);
    what = std::to_string(unused);
  } catch (const std::runtime_error& error) {
    what = error.what();
  }
}

TEST(Task, ExceptionReachesTheAwaiter) {
  Loop loop;
  std::string what;
  loop.run(catching(loop, what));
  EXPECT_EQ(what, "no disk");
}

Task<void> throw_out(Loop& loop) { co_await throwing(loop); }

TEST(Task, ExceptionReachesTheCallerOfRun) {
  Loop loop;
  EXPECT_THROW(loop.run(throw_out(loop)), std::runtime_error);
}

Task<void> wait_for(Loop&, Event& event, int& count) {
  co_await event.wait();
  ++count;
}

Task<void> spawn_and_join(Loop& loop, int& count, int& at_join) {
  Scope scope(loop.frames());
  Event event;
  for (int i = 0; i < 5; ++i) scope.spawn(wait_for(loop, event, count));
  EXPECT_EQ(scope.running(), 5u);
  event.raise();
  co_await scope.join();
  at_join = count;
}

TEST(Scope, JoinEndsWhenEverySpawnedTaskHasEnded) {
  Loop loop;
  int count = 0;
  int at_join = -1;
  loop.run(spawn_and_join(loop, count, at_join));
  EXPECT_EQ(at_join, 5);
}

TEST(FramePool, FallsBackWhenTheSlabIsUsedUpAndCountsIt) {
  FramePool pool(1024);
  void* fits = pool.allocate(500);
  void* does_not = pool.allocate(2000);
  EXPECT_EQ(pool.fallbacks(), 1u);
  FramePool::release(fits);
  FramePool::release(does_not);
  void* again = pool.allocate(498);
  EXPECT_EQ(again, fits);
  FramePool::release(again);
}

}  // namespace
}  // namespace nbdring
