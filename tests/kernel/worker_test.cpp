#include "kernel/worker.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

namespace nbdring {
namespace {

using std::chrono::milliseconds;

TEST(Worker, ReturnsWhatTheCallReturned) {
  Worker worker;
  EXPECT_EQ(worker.call<int>([] { return 7; }, Deadline::in(milliseconds(5000))), 7);
  EXPECT_EQ(
      worker.call<std::string>([] { return std::string("x"); }, Deadline::in(milliseconds(5000))),
      "x");
}

TEST(Worker, RunsAllCallsOnOneThreadThatIsNotTheCallers) {
  Worker worker;
  const auto id = [] { return std::this_thread::get_id(); };
  const auto first = worker.call<std::thread::id>(id, Deadline::in(milliseconds(5000)));
  const auto second = worker.call<std::thread::id>(id, Deadline::in(milliseconds(5000)));
  ASSERT_TRUE(first);
  EXPECT_EQ(first, second);
  EXPECT_NE(*first, std::this_thread::get_id());
}

TEST(Worker, ComesBackFromACallThatHangs) {
  auto release = std::make_shared<std::promise<void>>();
  const auto hang = [released = release->get_future().share()] {
    released.wait();
    return 1;
  };
  const Deadline soon = Deadline::in(milliseconds(20));
  {
    Worker worker;
    EXPECT_EQ(worker.call<int>(hang, soon), std::nullopt);
  }  // and so does its end
  release->set_value();
}

TEST(Worker, NeverRunsACallThatWaitedInVainBehindAStuckOne) {
  auto release = std::make_shared<std::promise<void>>();
  auto runs = std::make_shared<std::atomic<int>>(0);
  Worker worker;
  const auto hang = [released = release->get_future().share()] {
    released.wait();
    return 1;
  };
  const auto count = [runs] { return ++*runs; };
  EXPECT_EQ(worker.call<int>(hang, Deadline::in(milliseconds(10))), std::nullopt);
  EXPECT_EQ(worker.call<int>(count, Deadline::in(milliseconds(10))), std::nullopt);
  release->set_value();
  EXPECT_EQ(worker.call<int>(count, Deadline::in(milliseconds(5000))), 1);
}

TEST(Worker, OwnsWhatAStuckCallUses) {
  auto release = std::make_shared<std::promise<void>>();
  auto owned = std::make_shared<int>(5);
  const std::weak_ptr<int> watch = owned;
  auto done = std::make_shared<std::promise<int>>();
  auto result = done->get_future();
  {
    Worker worker;
    worker.call<int>(
        [released = release->get_future().share(), owned = std::move(owned), done] {
          released.wait();
          done->set_value(*owned);
          return 0;
        },
        Deadline::in(milliseconds(10)));
  }
  EXPECT_FALSE(watch.expired());
  release->set_value();
  EXPECT_EQ(result.get(), 5);
}

TEST(Worker, LeavesSignalsToItsCallers) {
  Worker worker;
  const auto blocked = worker.call<bool>(
      [] {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        return sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1;
      },
      Deadline::in(milliseconds(5000)));
  EXPECT_EQ(blocked, true);
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), 0);
}

}  // namespace
}  // namespace nbdring
