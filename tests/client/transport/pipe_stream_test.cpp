#include "client/transport/pipe_stream.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

// Two pipes, or a socketpair of which both descriptors are the same socket, as inetd has it.
enum class Kind { pipes, socket };

class PipeStreamTest : public testing::TestWithParam<Kind> {
 public:
  FramePool& frames() { return loop_.frames(); }

 protected:
  PipeStreamTest() {
    ::signal(SIGPIPE, SIG_IGN);
    std::array<int, 2> ends{};
    if (GetParam() == Kind::pipes) {
      EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
      input_.reset(ends[0]);
      far_writer_.reset(ends[1]);
      EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
      far_reader_.reset(ends[0]);
      output_.reset(ends[1]);
    } else {
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
      input_.reset(ends[0]);
      output_.reset(::dup(ends[0]));
      far_reader_.reset(ends[1]);
      far_writer_.reset(::dup(ends[1]));
    }
    watched_.reset(::dup(input_.get()));
    stream_ = std::make_unique<PipeStream>(loop_, std::move(input_), std::move(output_),
                                           [this] { ++ends_told_; });
  }

  ssize_t receive(std::size_t bytes) {
    std::array<iovec, 1> buffer{iovec{bytes_.data(), bytes}};
    return stream_->receive(buffer);
  }
  ssize_t send(std::size_t bytes) {
    std::array<iovec, 1> buffer{iovec{bytes_.data(), bytes}};
    return stream_->send(buffer);
  }
  Task<void> wait_readable(int& result) { result = co_await stream_->readable(); }
  Task<void> shut_down_beside() {
    Scope scope(frames());
    int result = 0;
    scope.spawn(wait_readable(result));
    stream_->shut_down();
    co_await scope.join();
  }

  Loop loop_;
  FileDescriptor input_, output_, far_writer_, far_reader_, watched_;
  std::unique_ptr<PipeStream> stream_;
  std::array<char, 1 << 20> bytes_{};
  int ends_told_ = 0;
};

TEST_P(PipeStreamTest, CarriesBytesBothWays) {
  EXPECT_EQ(receive(10), -EAGAIN);
  ASSERT_EQ(::write(far_writer_.get(), "abc", 3), 3);
  EXPECT_EQ(receive(10), 3);
  EXPECT_EQ(send(5), 5);
  std::array<char, 10> got{};
  EXPECT_EQ(::read(far_reader_.get(), got.data(), got.size()), 5);
}

TEST_P(PipeStreamTest, NeverWaits) {
  ssize_t sent = 0;
  while ((sent = send(bytes_.size())) > 0) continue;
  EXPECT_EQ(sent, -EAGAIN);
}

TEST_P(PipeStreamTest, TheEndOfTheInputIsToldOnce) {
  ASSERT_EQ(::write(far_writer_.get(), "abc", 3), 3);
  far_writer_.reset();
  ::shutdown(far_reader_.get(), SHUT_WR);
  EXPECT_EQ(receive(10), 3);
  EXPECT_EQ(ends_told_, 0);
  EXPECT_EQ(receive(10), 0);
  EXPECT_EQ(receive(10), 0);
  EXPECT_EQ(ends_told_, 1);
}

TEST_P(PipeStreamTest, APeerThatIsGoneIsAnError) {
  far_writer_.reset();
  far_reader_.reset();
  EXPECT_EQ(send(5), -EPIPE);
}

TEST_P(PipeStreamTest, ShutDownEndsWaits) {
  loop_.run(shut_down_beside());
  EXPECT_EQ(receive(10), 0);
  EXPECT_EQ(send(10), -EPIPE);
  int result = -1;
  loop_.run(wait_readable(result));
  EXPECT_GE(result, 0);
}

TEST_P(PipeStreamTest, EndOfSendingIsSeenByThePeer) {
  stream_->end_sending();
  char byte = 0;
  EXPECT_EQ(::read(far_reader_.get(), &byte, 1), 0);
  EXPECT_EQ(send(1), -EPIPE);
  ASSERT_EQ(::write(far_writer_.get(), "x", 1), 1);
  EXPECT_EQ(receive(10), 1);
}

TEST_P(PipeStreamTest, LeavesTheFlagsAsTheyWere) {
  EXPECT_NE(::fcntl(watched_.get(), F_GETFL) & O_NONBLOCK, 0);
  stream_.reset();
  EXPECT_EQ(::fcntl(watched_.get(), F_GETFL) & O_NONBLOCK, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PipeStreamTest, testing::Values(Kind::pipes, Kind::socket),
                         [](const auto& kind) {
                           return kind.param == Kind::pipes ? "pipes" : "socket";
                         });

}  // namespace
}  // namespace nbdring
