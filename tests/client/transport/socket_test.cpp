#include "client/transport/socket.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "client/runtime/loop.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

class SocketStreamTest : public testing::Test {
 protected:
  SocketStreamTest() : far_(std::move(pair_.far)), stream_(loop_, std::move(pair_.near)) {}

  ssize_t receive(std::span<std::byte> first, std::span<std::byte> second) {
    std::array<iovec, 2> buffers{iovec{first.data(), first.size()},
                                 iovec{second.data(), second.size()}};
    return stream_.receive(buffers);
  }
  ssize_t send(std::span<std::byte> bytes) {
    std::array<iovec, 1> buffers{iovec{bytes.data(), bytes.size()}};
    return stream_.send(buffers);
  }

  Loop loop_;
  SocketPair pair_;
  FileDescriptor far_;
  SocketStream stream_;
  std::array<std::byte, 4> four_{};
  std::array<std::byte, 100> hundred_{};
};

TEST_F(SocketStreamTest, FillsBuffersInTheirOrder) {
  const auto data = pattern(1, 0, 50);
  ASSERT_EQ(::write(far_.get(), data.data(), data.size()), 50);
  EXPECT_EQ(receive(four_, hundred_), 50);
  EXPECT_TRUE(matches_pattern(four_, 1, 0));
  EXPECT_TRUE(matches_pattern(std::span(hundred_).first(46), 1, 4));
}

TEST_F(SocketStreamTest, DoesNotWait) {
  EXPECT_EQ(receive(four_, hundred_), -EAGAIN);
  std::vector<std::byte> megabyte(1024 * 1024);
  ssize_t sent = 0;
  while (sent >= 0) sent = send(megabyte);
  EXPECT_EQ(sent, -EAGAIN);
}

TEST_F(SocketStreamTest, TellsTheEnd) {
  ASSERT_EQ(::write(far_.get(), "abcd", 4), 4);
  far_.reset();
  EXPECT_EQ(receive(four_, hundred_), 4) << "what had arrived comes first";
  EXPECT_EQ(receive(four_, hundred_), 0);
}

TEST_F(SocketStreamTest, SendsToNobodyWithoutASignal) {
  far_.reset();
  EXPECT_EQ(send(hundred_), -EPIPE);
}

TEST_F(SocketStreamTest, GivesWhatHadArrivedAfterItWasShutDown) {
  ASSERT_EQ(::write(far_.get(), "abcd", 4), 4);
  stream_.shut_down();
  EXPECT_EQ(receive(four_, hundred_), 4);
  EXPECT_EQ(receive(four_, hundred_), 0);
  EXPECT_EQ(send(hundred_), -EPIPE);
}

Task<void> note_readable(Loop&, Stream& stream, int& events) {
  events = co_await stream.readable();
}

Task<void> note_writable(Loop&, Stream& stream, int& events) {
  events = co_await stream.writable();
}

TEST_F(SocketStreamTest, IsReadableWhenBytesAreThere) {
  ASSERT_EQ(::write(far_.get(), "x", 1), 1);
  int events = 0;
  loop_.run(note_readable(loop_, stream_, events));
  EXPECT_EQ(events & POLLIN, POLLIN);
}

TEST_F(SocketStreamTest, IsWritableWhenThereIsRoom) {
  int events = 0;
  loop_.run(note_writable(loop_, stream_, events));
  EXPECT_EQ(events & POLLOUT, POLLOUT);
}

TEST_F(SocketStreamTest, EndsAWaitAtTheDeadline) {
  StreamDeadline deadline(loop_, milliseconds(10), stream_);
  int events = 0;
  loop_.run(note_readable(loop_, stream_, events));
  EXPECT_NE(events, 0);
  EXPECT_TRUE(deadline.has_expired());
  EXPECT_EQ(receive(four_, hundred_), 0);
}

TEST_F(SocketStreamTest, ForgetsADeadlineThatIsOver) {
  {
    const StreamDeadline deadline(loop_, milliseconds(5), stream_);
    EXPECT_FALSE(deadline.has_expired());
  }
  int events = 0;
  const Clock::time_point begin = Clock::now();
  while (Clock::now() < begin + milliseconds(10)) loop_.run(note_writable(loop_, stream_, events));
  EXPECT_EQ(send(hundred_), 100);
}

}  // namespace
}  // namespace nbdring
