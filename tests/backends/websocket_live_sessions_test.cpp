#include "backends/websocket/live_sessions.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;

struct Told {
  std::atomic<int> settled{0};
  std::atomic<int> gone{0};
};

class ToldRenewal final : public Renewal {
 public:
  ToldRenewal(Told& told, bool fails) : told_(told), fails_(fails) {}
  ~ToldRenewal() override { ++told_.gone; }
  void settle() override {
    if (fails_) throw Failure(FailureKind::failed, "the disk is full");
    ++told_.settled;
  }

 private:
  Told& told_;
  bool fails_;
};

class LiveSessionsTest : public testing::Test {
 protected:
  std::string begin(const std::string& configuration = "0", bool fails = false) {
    Grant grant;
    grant.configuration = configuration;
    grant.who = "alice";
    grant.next_token = "the next one";
    grant.renewal = std::make_shared<ToldRenewal>(told_, fails);
    sessions_.begin(grant);
    EXPECT_EQ(grant.renewal, nullptr);
    EXPECT_EQ(grant.next_token, "the next one");
    EXPECT_EQ(grant.session_key.size(), 43U);
    return grant.session_key;
  }

  LiveSessions::Clock::time_point now_{};
  Told told_;
  Log log_{LogLevel::error, LogFormat::text};
  LiveSessions sessions_{{60s, 30s, 4, [this] { return now_; }}, log_};
};

TEST_F(LiveSessionsTest, WhoComesWithTheKeyGetsTheGrantAgain) {
  const std::string key = begin("cellar");
  const auto grant = sessions_.find(key);
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->configuration, "cellar");
  EXPECT_EQ(grant->who, "alice");
  EXPECT_EQ(grant->session_key, key);
  EXPECT_EQ(grant->next_token, "") << "a successor is told once";
}

TEST_F(LiveSessionsTest, NoOtherKeyOpens) {
  const std::string key = begin();
  EXPECT_FALSE(sessions_.find(""));
  EXPECT_FALSE(sessions_.find(key.substr(1)));
  EXPECT_FALSE(sessions_.find(key + "A"));
  EXPECT_NE(begin(), key);
}

TEST_F(LiveSessionsTest, LivesWhileConnectedAndForTheGraceAfterwards) {
  const std::string key = begin();
  EXPECT_TRUE(sessions_.attach(key));
  EXPECT_TRUE(sessions_.attach(key));
  now_ += 24h;
  sessions_.detach(key);
  now_ += 24h;
  EXPECT_TRUE(sessions_.find(key)) << "one is connected";
  sessions_.detach(key);
  now_ += 29s;
  EXPECT_TRUE(sessions_.attach(key)) << "back in time";
  sessions_.detach(key);
  now_ += 30s;
  EXPECT_FALSE(sessions_.attach(key)) << "too late";
  EXPECT_FALSE(sessions_.find(key));
  EXPECT_EQ(sessions_.count(), 0U);
}

TEST_F(LiveSessionsTest, EndsWhenNobodyComes) {
  const std::string key = begin();
  now_ += 59s;
  EXPECT_TRUE(sessions_.is_live(key));
  now_ += 1s;
  EXPECT_FALSE(sessions_.is_live(key));
  EXPECT_EQ(told_.gone, 1);
  EXPECT_EQ(told_.settled, 0) << "the used token is good again";
}

TEST_F(LiveSessionsTest, LookingWhetherItLivesProvesNothing) {
  const std::string key = begin();
  EXPECT_TRUE(sessions_.is_live(key));
  EXPECT_TRUE(sessions_.attach(key));
  EXPECT_EQ(told_.settled, 0);
}

TEST_F(LiveSessionsTest, ComingWithTheKeySettlesOnce) {
  const std::string key = begin();
  sessions_.find(key);
  sessions_.find(key);
  sessions_.confirm(key);
  EXPECT_EQ(told_.settled, 1);
  EXPECT_EQ(told_.gone, 1);
}

TEST_F(LiveSessionsTest, ConfirmingSettles) {
  const std::string key = begin();
  sessions_.confirm(key);
  EXPECT_EQ(told_.settled, 1);
  sessions_.confirm("of nobody");
}

TEST_F(LiveSessionsTest, WhatCannotBeSettledStaysHeldWhileTheSessionLives) {
  const std::string key = begin("0", true);
  EXPECT_TRUE(sessions_.find(key));
  EXPECT_EQ(told_.gone, 0);
  sessions_.end(key);
  EXPECT_EQ(told_.gone, 1);
}

TEST_F(LiveSessionsTest, EndsWhenItIsEnded) {
  const std::string key = begin();
  sessions_.attach(key);
  sessions_.end(key);
  EXPECT_FALSE(sessions_.find(key));
  sessions_.detach(key);  // comes later than the end, and does no harm
  EXPECT_EQ(told_.gone, 1);
}

TEST_F(LiveSessionsTest, TheEndOfADeviceEndsThoseWhoWereConnectedToIt) {
  const std::string connected = begin("cellar");
  const std::string waiting = begin("cellar");
  const std::string elsewhere = begin("attic");
  sessions_.attach(connected);
  sessions_.attach(elsewhere);
  sessions_.end_all("cellar");
  EXPECT_FALSE(sessions_.is_live(connected));
  EXPECT_TRUE(sessions_.is_live(waiting));
  EXPECT_TRUE(sessions_.is_live(elsewhere));
}

TEST_F(LiveSessionsTest, OfTooManyTheOldestUnconnectedGoes) {
  const std::string first = begin();
  sessions_.attach(first);
  const std::string second = begin();
  begin();
  begin();
  const std::string fifth = begin();
  EXPECT_TRUE(sessions_.is_live(first));
  EXPECT_FALSE(sessions_.is_live(second));
  EXPECT_TRUE(sessions_.is_live(fifth));
  EXPECT_EQ(sessions_.count(), 4U);
}

TEST_F(LiveSessionsTest, WhenAllAreConnectedNoMoreAreTaken) {
  for (int i = 0; i < 4; ++i) sessions_.attach(begin());
  Grant grant;
  grant.renewal = std::make_shared<ToldRenewal>(told_, false);
  EXPECT_THROW(sessions_.begin(grant), Failure);
  EXPECT_EQ(sessions_.count(), 4U);
  EXPECT_EQ(told_.gone, 1) << "its token is good again";
}

// For the thread sanitizer as much as for the counts.
TEST_F(LiveSessionsTest, ManyThreadsComeAndGo) {
  const std::string key = begin();
  sessions_.attach(key);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, &key] {
      for (int round = 0; round < 200; ++round) {
        EXPECT_TRUE(sessions_.find(key));
        EXPECT_TRUE(sessions_.attach(key));
        sessions_.detach(key);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GE(told_.settled, 1);
  EXPECT_EQ(told_.gone, 1);
  EXPECT_EQ(sessions_.count(), 1U);
}

}  // namespace
}  // namespace nbdring
