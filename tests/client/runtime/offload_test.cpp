#include "client/runtime/offload.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace nbdring {
namespace {

using std::chrono::milliseconds;

Task<void> run_one(Loop& loop, Offload& offload, std::function<void()> job, milliseconds within,
                   bool& was_done) {
  was_done = co_await offload.run(loop, std::move(job), within);
}

TEST(Offload, RunsTheJobOnAnotherThreadAndComesBack) {
  Loop loop;
  Offload offload({});
  std::thread::id job_thread;
  bool was_done = false;
  loop.run(run_one(
      loop, offload, [&job_thread] { job_thread = std::this_thread::get_id(); },
      milliseconds(10'000), was_done));
  EXPECT_TRUE(was_done);
  EXPECT_NE(job_thread, std::thread::id());
  EXPECT_NE(job_thread, std::this_thread::get_id());
}

TEST(Offload, AJobThatIsStuckIsLeftBehindAtTheDeadline) {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  std::atomic<bool> has_ended{false};
  {
    Loop loop;
    Offload offload({});
    bool was_done = true;
    const auto job = [open, &has_ended] {
      open.wait();
      has_ended = true;
    };
    loop.run(run_one(loop, offload, job, milliseconds(20), was_done));
    EXPECT_FALSE(was_done);
    EXPECT_FALSE(has_ended);
    gate.set_value();
  }
  EXPECT_TRUE(has_ended) << "the Offload's end waits for what runs";
}

TEST(Offload, TooManyJobsAreRefusedAtOnce) {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  std::promise<void> begun;
  Loop loop;
  Offload offload({1, 2});
  ASSERT_TRUE(offload.start([open, &begun] {
    begun.set_value();
    open.wait();
  }));
  begun.get_future().wait();
  EXPECT_TRUE(offload.start([] {}));
  EXPECT_TRUE(offload.start([] {}));
  EXPECT_FALSE(offload.start([] {}));
  bool was_done = true;
  loop.run(run_one(
      loop, offload, [] {}, milliseconds(10'000), was_done));
  EXPECT_FALSE(was_done);
  gate.set_value();
}

Task<void> many(Loop& loop, Offload& offload, int rounds, int& done) {
  for (int i = 0; i < rounds; ++i) {
    std::function<void()> job = [] { std::this_thread::yield(); };
    const bool was_done = co_await offload.run(loop, std::move(job), std::chrono::microseconds(50));
    if (was_done) ++done;
  }
}

// The deadline and the job's end meet at the same moment, over and over.
TEST(Offload, TheRaceOfDeadlineAndEndHasAlwaysOneWinner) {
  Loop loop;
  Offload offload({4, 4096});
  int done = 0;
  loop.run(many(loop, offload, 2000, done));
  EXPECT_LE(done, 2000);
}

}  // namespace
}  // namespace nbdring
