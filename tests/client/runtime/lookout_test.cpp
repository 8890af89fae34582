#include "client/runtime/lookout.hpp"

#include <gtest/gtest.h>

namespace nbdring {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// How many short sleeps it takes until it looks.
int sleeps_until_it_looks(Lookout& lookout) {
  for (int sleeps = 0; sleeps < 1'000'000; ++sleeps) {
    if (lookout.looks()) return sleeps;
    lookout.slept(microseconds(20));
  }
  return -1;
}

void lose(Lookout& lookout) {
  while (lookout.looks()) lookout.missed();
}

TEST(Lookout, SleepsUntilSleepsWereShort) {
  Lookout lookout;
  EXPECT_FALSE(lookout.looks());
  EXPECT_EQ(sleeps_until_it_looks(lookout), 16);
}

TEST(Lookout, ALongSleepBetweenShortOnesIsEnoughToGoOnSleeping) {
  Lookout lookout;
  for (int i = 0; i < 1000; ++i) lookout.slept(i % 8 == 7 ? milliseconds(2) : microseconds(20));
  EXPECT_FALSE(lookout.looks());
}

TEST(Lookout, StopsAfterSomeLooksInVain) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  for (int i = 0; i < 7; ++i) lookout.missed();
  EXPECT_TRUE(lookout.looks());
  lookout.missed();
  EXPECT_FALSE(lookout.looks());
}

TEST(Lookout, AMissNowAndThenIsPaidForByWhatWasFound) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  for (int i = 0; i < 1000; ++i) i % 10 == 9 ? lookout.missed() : lookout.found(microseconds(5));
  EXPECT_TRUE(lookout.looks());
}

TEST(Lookout, WhoMissesHalfTheTimeDoesNotLook) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  for (int i = 0; i < 1000 && lookout.looks(); ++i)
    i % 2 == 1 ? lookout.missed() : lookout.found(microseconds(5));
  EXPECT_FALSE(lookout.looks());
}

TEST(Lookout, EachLossMakesTheNextTryRarerUpToALimit) {
  Lookout lookout;
  int before = sleeps_until_it_looks(lookout);
  for (int i = 0; i < 6; ++i) {
    lose(lookout);
    const int now = sleeps_until_it_looks(lookout);
    EXPECT_EQ(now, before * 4);
    before = now;
  }
  lose(lookout);
  EXPECT_EQ(sleeps_until_it_looks(lookout), before);
}

TEST(Lookout, FindingLateAllTheTimeIsNotWorthLooking) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  for (int i = 0; i < 63; ++i) lookout.found(microseconds(100));
  EXPECT_TRUE(lookout.looks());
  lookout.found(microseconds(100));
  EXPECT_FALSE(lookout.looks());
}

TEST(Lookout, APauseBeginsAnew) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  lose(lookout);
  lookout.slept(seconds(1));
  EXPECT_EQ(sleeps_until_it_looks(lookout), 16);
}

TEST(Lookout, LastingSuccessMakesUpForEarlierLosses) {
  Lookout lookout;
  sleeps_until_it_looks(lookout);
  lose(lookout);
  EXPECT_EQ(sleeps_until_it_looks(lookout), 64);
  lookout.missed();
  for (int i = 0; i < 100; ++i) lookout.found(microseconds(5));
  lose(lookout);
  EXPECT_EQ(sleeps_until_it_looks(lookout), 64);  // as after the first loss
}

}  // namespace
}  // namespace nbdring
