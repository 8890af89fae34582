// Payloads that are received by reference from real sockets, and leave the pipe again.

#include "client/engine/arrival_pipe.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "client/runtime/loop.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/one_way_stream.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/tcp_pair.hpp"

namespace nbdring {
namespace {

constexpr std::size_t size = 128 * 1024;

class ArrivalPipeTest : public testing::TestWithParam<bool> {
 protected:
  ArrivalPipeTest() : pair_(GetParam() ? tcp_pair() : SocketPair()) {
    stream_ = std::make_unique<SocketStream>(loop_, std::move(pair_.near));
    pipe_.open(*stream_);
  }
  void send(const std::vector<std::byte>& bytes) {
    ASSERT_EQ(::send(pair_.far.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  // Until that much is in the pipe, or a call fails: the result of the last one.
  ssize_t receive(std::size_t bytes) {
    ssize_t result = 1;
    eventually([&] {
      result = pipe_.receive(*stream_, bytes - pipe_.size());
      return (result <= 0 && result != -EAGAIN) || pipe_.size() == bytes;
    });
    return result;
  }
  void expect_copied(std::uint64_t number, std::uint64_t offset, std::size_t length) {
    ASSERT_EQ(pipe_.size(), length);
    std::vector<std::byte> memory(length + 1);
    pipe_.copy_to(memory);
    EXPECT_EQ(pipe_.size(), 0U);
    EXPECT_TRUE(matches_pattern(std::span(memory).first(length), number, offset));
    EXPECT_EQ(memory[length], std::byte{0});
  }

  Loop loop_;
  SocketPair pair_;
  std::unique_ptr<SocketStream> stream_;
  ArrivalPipe pipe_;
};

INSTANTIATE_TEST_SUITE_P(UnixAndTcp, ArrivalPipeTest, testing::Bool());

TEST_P(ArrivalPipeTest, ReceivesNoMoreThanItIsAskedFor) {
  ASSERT_TRUE(pipe_.has_room_for(size));
  EXPECT_EQ(pipe_.receive(*stream_, size), -EAGAIN) << "nothing is there, and nobody waits";
  send(pattern(1, 0, size + 100));
  EXPECT_GT(receive(size), 0);
  expect_copied(1, 0, size);
  EXPECT_GT(receive(100), 0);
  expect_copied(1, size, 100);
}

TEST_P(ArrivalPipeTest, TellsTheEndOfTheStream) {
  send(pattern(1, 0, 1000));
  pair_.far.reset();
  EXPECT_EQ(receive(size), 0);
  expect_copied(1, 0, 1000);
}

TEST_P(ArrivalPipeTest, MovesOnWhatFitsAndKeepsTheRest) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const FileDescriptor outlet(ends[0]), inlet(ends[1]);
  ASSERT_GT(::fcntl(inlet.get(), F_SETPIPE_SZ, 4096), 0);
  send(pattern(1, 0, size));
  ASSERT_GT(receive(size), 0);
  std::vector<std::byte> moved;
  while (pipe_.size() > 0) {
    const std::size_t before = pipe_.size();
    const std::size_t count = pipe_.move_to(inlet.get());
    ASSERT_GT(count, 0U);
    EXPECT_EQ(pipe_.size(), before - count);
    EXPECT_EQ(pipe_.move_to(inlet.get()), 0U) << "it is full";
    const std::size_t end = moved.size();
    moved.resize(end + count);
    ASSERT_EQ(::read(outlet.get(), moved.data() + end, count), static_cast<ssize_t>(count));
  }
  EXPECT_TRUE(matches_pattern(moved, 1, 0));
}

TEST(ArrivalPipe, SaysWhenItIsFullAndLearnsFromIt) {
  Loop loop;
  SocketPair pair;
  SocketStream stream(loop, std::move(pair.near));
  ArrivalPipe pipe;
  pipe.open(stream);
  // A Unix socket keeps what was sent apart, so each piece takes a place of its own in the pipe.
  constexpr std::size_t piece = 16;
  std::size_t sent = 0;
  ssize_t result = 0;
  for (int i = 0; i < 5000 && result >= 0; ++i) {
    const auto bytes = pattern(1, sent, piece);
    ASSERT_EQ(::send(pair.far.get(), bytes.data(), piece, 0), static_cast<ssize_t>(piece));
    sent += piece;
    result = pipe.receive(stream, size);
  }
  EXPECT_EQ(result, -ENOBUFS);
  const std::size_t fitted = pipe.size();
  EXPECT_EQ(fitted, sent - piece);
  EXPECT_TRUE(pipe.has_room_for(fitted));
  EXPECT_FALSE(pipe.has_room_for(fitted + 1));
  std::vector<std::byte> memory(fitted);
  pipe.copy_to(memory);
  EXPECT_TRUE(matches_pattern(memory, 1, 0));
  EXPECT_EQ(pipe.receive(stream, size), static_cast<ssize_t>(piece)) << "the rest is still there";
  pipe.copy_to(memory);
}

TEST(ArrivalPipe, HasNoRoomWhereTheStreamGivesNoPages) {
  OneWayStream stream;
  ArrivalPipe pipe;
  pipe.open(stream);
  EXPECT_FALSE(pipe.has_room_for(1));
}

// A kernel, or what stands before it, may refuse the call for a socket that looked right.
TEST(ArrivalPipe, HasNoRoomAfterTheStreamHasRefused) {
  struct Refusing final : Stream {
    ssize_t receive(std::span<iovec>) noexcept override { return -EAGAIN; }
    ssize_t send(std::span<iovec>) noexcept override { return -EAGAIN; }
    Operation readable() override { ensure_failed("no loop", __FILE__, __LINE__); }
    Operation writable() override { ensure_failed("no loop", __FILE__, __LINE__); }
    void shut_down() noexcept override {}
    void move_to(Loop&) noexcept override {}
    bool gives_pages() noexcept override { return true; }
  } stream;
  ArrivalPipe pipe;
  pipe.open(stream);
  ASSERT_TRUE(pipe.has_room_for(size));
  EXPECT_EQ(pipe.receive(stream, size), -ENOBUFS);
  EXPECT_FALSE(pipe.has_room_for(1));
}

}  // namespace
}  // namespace nbdring
