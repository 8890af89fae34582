#include "client/engine/lane_thread.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "client/runtime/error.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

// Waits until the stream ends.
Task<void> wait_for_end(Loop&, Stream& stream) {
  std::byte byte{};
  std::array<iovec, 1> buffer{iovec{&byte, 1}};
  while (stream.receive(buffer) == -EAGAIN) {
    co_await stream.readable();
  }
}

Task<void> throw_at_once(Loop& loop, Stream&) {
  co_await loop.sleep(Clock::duration::zero());
  throw std::runtime_error("on purpose");
}

class LaneThreadTest : public testing::Test {
 protected:
  std::unique_ptr<LaneThread> start(LaneThread::Body body) {
    return std::make_unique<LaneThread>(LaneThreadOptions{"a-name-longer-than-15", false},
                                        std::move(sockets_.near), std::move(body),
                                        [this](const std::exception_ptr& failure) {
                                          failure_ = failure;
                                          ended_ = true;
                                        });
  }
  bool ends() const {
    return eventually([this] { return ended_.load(); });
  }

  SocketPair sockets_;
  std::exception_ptr failure_;
  std::atomic<bool> ended_{false};
};

TEST_F(LaneThreadTest, EndsWithItsBody) {
  const auto thread = start(wait_for_end);
  sockets_.far.reset();
  EXPECT_TRUE(ends());
  EXPECT_EQ(failure_, nullptr);
  thread->shut_down();  // after the end: nothing happens
}

TEST_F(LaneThreadTest, IsShutDownAtAnyMoment) {
  for (int i = 0; i < 50; ++i) {
    sockets_ = SocketPair();
    ended_ = false;
    const auto thread = start(wait_for_end);
    if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i * 20));
    thread->shut_down();
    thread->shut_down();
    EXPECT_TRUE(ends());
  }
}

TEST_F(LaneThreadTest, TellsWhatItsBodyThrewAfterTheSocketIsClosed) {
  const auto thread = start(throw_at_once);
  BlockingClient client(std::move(sockets_.far));
  EXPECT_TRUE(client.reads_end());
  EXPECT_TRUE(ends());
  ASSERT_NE(failure_, nullptr);
  try {
    std::rethrow_exception(failure_);
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "on purpose");
  }
}

}  // namespace
}  // namespace nbdring
