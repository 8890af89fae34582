#include "client/runtime/loop.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <deque>
#include <thread>
#include <vector>

#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

struct SocketPair {
  SocketPair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) throw std::bad_alloc();
    near.reset(ends[0]);
    far.reset(ends[1]);
  }
  FileDescriptor near, far;
};

FileDescriptor temporary_file() {
  std::FILE* file = std::tmpfile();
  FileDescriptor fd(::dup(::fileno(file)));
  std::fclose(file);
  return fd;
}

Task<void> write_and_read(Loop& loop, int fd, std::array<std::byte, 8>& result, int& status) {
  const std::array<std::byte, 8> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  const int written = co_await loop.write(fd, bytes, 100);
  EXPECT_EQ(written, 8);
  status = co_await loop.fdatasync(fd);
  const int got = co_await loop.read(fd, result, 100);
  EXPECT_EQ(got, 8);
}

TEST(Loop, ReadsAndWritesThroughTheRing) {
  Loop loop;
  const FileDescriptor file = temporary_file();
  std::array<std::byte, 8> result{};
  int status = -1;
  loop.run(write_and_read(loop, file.get(), result, status));
  EXPECT_EQ(result[2], std::byte{3});
  EXPECT_EQ(status, 0);
}

Task<void> ask_and_await(Loop& loop, int fd, int rounds, int& answers) {
  for (int i = 0; i < rounds; ++i) {
    const char question = 'q';
    EXPECT_EQ(::send(fd, &question, 1, 0), 1);
    loop.expect_soon();
    co_await loop.readable(fd);
    char answer = 0;
    answers += ::recv(fd, &answer, 1, MSG_DONTWAIT) == 1 ? 1 : 0;
  }
}

// So many rounds that it looks before it sleeps, and loses that again wherever the other thread is
// slow.
TEST(Loop, WhatIsExpectedSoonComesWhetherTheLoopLooksOrSleeps) {
  constexpr int rounds = 2000;
  SocketPair pair;
  std::thread answers_each([&pair] {
    for (int i = 0; i < rounds; ++i) {
      char question = 0;
      ASSERT_EQ(::recv(pair.far.get(), &question, 1, 0), 1);
      if (i % 1000 == 999) std::this_thread::sleep_for(milliseconds(2));
      ASSERT_EQ(::send(pair.far.get(), &question, 1, 0), 1);
    }
  });
  int answers = 0;
  Loop loop;
  loop.run(ask_and_await(loop, pair.near.get(), rounds, answers));
  answers_each.join();
  EXPECT_EQ(answers, rounds);
}

Task<void> note_readable(Loop& loop, int fd, int& events) { events = co_await loop.readable(fd); }

Task<void> wait_both(Loop& loop, int first, int second, int& first_events, int& second_events) {
  Scope scope(loop.frames());
  scope.spawn(note_readable(loop, first, first_events));
  scope.spawn(note_readable(loop, second, second_events));
  co_await scope.join();
}

Task<void> note_hung_up(Loop& loop, int fd, bool& has_ended) {
  const int events = co_await loop.hung_up(fd);
  EXPECT_NE(events & POLLRDHUP, 0);
  has_ended = true;
}

Task<void> send_then_end(Loop& loop, const SocketPair& pair, bool& has_ended) {
  Scope scope(loop.frames());
  scope.spawn(note_hung_up(loop, pair.near.get(), has_ended));
  EXPECT_EQ(::write(pair.far.get(), "x", 1), 1);
  co_await loop.sleep(milliseconds(20));
  EXPECT_FALSE(has_ended);
  EXPECT_EQ(::shutdown(pair.far.get(), SHUT_WR), 0);
  co_await scope.join();
}

TEST(Loop, WhoWaitsForTheEndIsNotWokenByBytes) {
  Loop loop;
  SocketPair pair;
  bool has_ended = false;
  loop.run(send_then_end(loop, pair, has_ended));
  EXPECT_TRUE(has_ended);
}

TEST(Loop, WaitsForSeveralSocketsWithoutTheRing) {
  Loop loop;
  SocketPair a, b;
  ASSERT_EQ(::write(a.far.get(), "x", 1), 1);
  int first = 0, second = 0;
  std::thread later([&b] {
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(::write(b.far.get(), "x", 1), 1);
  });
  loop.run(wait_both(loop, a.near.get(), b.near.get(), first, second));
  later.join();
  EXPECT_NE(first, 0);
  EXPECT_NE(second, 0);
}

Task<void> accept_one(Loop& loop, int listener, int& result) {
  result = co_await loop.accept(listener);
}

Task<void> wait_while_ring_is_busy(Loop& loop, int listener, int fd, int& accepted, int& events) {
  Scope scope(loop.frames());
  scope.spawn(accept_one(loop, listener, accepted));
  scope.spawn(note_readable(loop, fd, events));
  while (events == 0) {
    co_await loop.sleep(milliseconds(1));
  }
  loop.cancel(listener);
  co_await scope.join();
}

TEST(Loop, WaitsForASocketInTheRingWhileAnOperationIsInFlight) {
  Loop loop;
  SocketPair pair;
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  const sockaddr_storage any{AF_UNIX, {}, {}};
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)),
            0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  std::thread later([&pair] {
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(::write(pair.far.get(), "x", 1), 1);
  });
  int accepted = 0, events = 0;
  loop.run(wait_while_ring_is_busy(loop, listener.get(), pair.near.get(), accepted, events));
  later.join();
  EXPECT_EQ(accepted, -ECANCELED);
  EXPECT_NE(events, 0);
}

Task<void> wait_cancelled(Loop& loop, int fd, int& result) {
  Scope scope(loop.frames());
  scope.spawn(note_readable(loop, fd, result));
  loop.cancel(fd);
  co_await scope.join();
}

TEST(Loop, CancelEndsAWaitThatIsNotInTheRing) {
  Loop loop;
  SocketPair pair;
  int result = 0;
  loop.run(wait_cancelled(loop, pair.near.get(), result));
  EXPECT_EQ(result, -ECANCELED);
}

Task<void> sleep_in_order(Loop& loop, std::vector<int>& order, int which, milliseconds duration) {
  co_await loop.sleep(duration);
  order.push_back(which);
}

Task<void> three_sleepers(Loop& loop, std::vector<int>& order) {
  Scope scope(loop.frames());
  scope.spawn(sleep_in_order(loop, order, 3, milliseconds(30)));
  scope.spawn(sleep_in_order(loop, order, 1, milliseconds(5)));
  scope.spawn(sleep_in_order(loop, order, 2, milliseconds(15)));
  co_await scope.join();
}

TEST(Timer, ExpireInTheirOrder) {
  Loop loop;
  std::vector<int> order;
  loop.run(three_sleepers(loop, order));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

class Raise final : public Message {
 public:
  void deliver() noexcept override {
    if (++delivered == expected) event.raise();
  }
  Event event;
  int delivered = 0;
  int expected = 1;
};

Task<void> wait_event(Loop&, Event& event) { co_await event.wait(); }

TEST(Loop, MessageOfAnotherThreadWakesTheLoop) {
  Loop loop;
  Raise message;
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(20));
    loop.post(message);
  });
  loop.run(wait_event(loop, message.event));
  other.join();
  EXPECT_EQ(message.delivered, 1);
}

class Forward final : public Message {
 public:
  explicit Forward(Raise& target) : target_(target) {}
  void deliver() noexcept override { target_.deliver(); }

 private:
  Raise& target_;
};

TEST(Loop, AWithdrawnMessageIsNotDeliveredAndTheOthersAre) {
  Loop loop;
  Raise first, second, last;
  loop.post(first);
  loop.post(second);
  loop.post(last);
  loop.withdraw(second);
  loop.run(wait_event(loop, last.event));
  EXPECT_EQ(first.delivered, 1);
  EXPECT_EQ(second.delivered, 0);
  loop.withdraw(first);  // delivered long ago: nothing to take back
  loop.post(second);
  loop.run(wait_event(loop, second.event));
  EXPECT_EQ(second.delivered, 1);
}

/// Its delivery takes another message back.
class Withdraw final : public Message {
 public:
  Withdraw(Loop& loop, Message& other) : loop_(loop), other_(other) {}
  void deliver() noexcept override { loop_.withdraw(other_); }

 private:
  Loop& loop_;
  Message& other_;
};

TEST(Loop, AMessageThatIsAboutToBeDeliveredCanBeWithdrawn) {
  Loop loop;
  Raise target, last;
  Withdraw withdraw(loop, target);
  loop.post(withdraw);
  loop.post(target);
  loop.post(last);
  loop.run(wait_event(loop, last.event));
  EXPECT_EQ(target.delivered, 0);
  EXPECT_EQ(last.delivered, 1);
}

TEST(Loop, NoMessageOfManyThreadsIsLost) {
  Loop loop;
  Raise sum;
  constexpr int threads = 4, each = 500;
  sum.expected = threads * each;
  std::deque<Forward> messages;
  for (int i = 0; i < threads * each; ++i) messages.emplace_back(sum);
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&loop, &messages, t] {
      for (int i = 0; i < each; ++i) loop.post(messages[static_cast<std::size_t>(t * each + i)]);
    });
  }
  loop.run(wait_event(loop, sum.event));
  for (auto& poster : posters) poster.join();
  EXPECT_EQ(sum.delivered, threads * each);
}

}  // namespace
}  // namespace nbdring
