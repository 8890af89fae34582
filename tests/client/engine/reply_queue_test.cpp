#include "client/engine/reply_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/support/one_way_stream.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

// Three replies: with a payload, without, with a longer payload.
class ReplyQueueTest : public testing::Test {
 protected:
  static constexpr std::array<std::size_t, 3> payload_bytes{10, 0, 33};

  ReplyQueueTest() {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      payloads_[i] = pattern(i + 1, 0, payload_bytes[i]);
      slots_[i].header = encode_simple_reply(i, 0);
      slots_[i].payload = payloads_[i];
      const auto header = slots_[i].header.used();
      expected_.insert(expected_.end(), header.begin(), header.end());
      expected_.insert(expected_.end(), payloads_[i].begin(), payloads_[i].end());
    }
  }

  void push_all(ReplyQueue& queue) {
    for (Slot& slot : slots_) queue.push(slot);
  }

  std::array<Slot, 3> slots_;
  std::array<std::vector<std::byte>, 3> payloads_;
  std::vector<std::byte> expected_;
};

TEST_F(ReplyQueueTest, SendsEverythingInOneCall) {
  OneWayStream stream;
  ReplyQueue queue(stream, 3);
  push_all(queue);
  EXPECT_EQ(queue.unsent_bytes(), expected_.size());
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(stream.calls, 1U);
  EXPECT_EQ(stream.sent, expected_);
  EXPECT_EQ(queue.unsent_bytes(), 0U);
  for (Slot& slot : slots_) EXPECT_EQ(queue.take_sent(), &slot);
  EXPECT_EQ(queue.take_sent(), nullptr);
  EXPECT_TRUE(queue.empty());
}

TEST_F(ReplyQueueTest, GoesOnAfterABreakAtAnyByte) {
  for (std::size_t cut = 0; cut < expected_.size(); ++cut) {
    OneWayStream stream;
    stream.room = cut;
    ReplyQueue queue(stream, 3);
    push_all(queue);
    EXPECT_EQ(queue.send(), -EAGAIN);
    EXPECT_EQ(queue.unsent_bytes(), expected_.size() - cut);
    std::size_t complete = 0;
    while (queue.take_sent() != nullptr) ++complete;
    const std::size_t first = sizeof(nbd::SimpleReplyHeader) + payload_bytes[0];
    EXPECT_EQ(complete, cut < first ? 0U : cut < first + sizeof(nbd::SimpleReplyHeader) ? 1U : 2U);
    stream.room = SIZE_MAX;
    EXPECT_EQ(queue.send(), 0);
    EXPECT_EQ(stream.sent, expected_) << "cut at " << cut;
    while (queue.take_sent() != nullptr) ++complete;
    EXPECT_EQ(complete, 3U);
  }
}

TEST_F(ReplyQueueTest, SendsByteByByte) {
  OneWayStream stream;
  stream.piece = 1;
  ReplyQueue queue(stream, 3);
  push_all(queue);
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(stream.sent, expected_);
}

TEST_F(ReplyQueueTest, GoesRoundItsRing) {
  OneWayStream stream;
  ReplyQueue queue(stream, 2);
  std::vector<std::byte> expected;
  for (int round = 0; round < 5; ++round) {
    queue.push(slots_[0]);
    EXPECT_EQ(queue.send(), 0);
    EXPECT_EQ(queue.take_sent(), &slots_[0]);
    queue.push(slots_[1]);
    queue.push(slots_[2]);
    EXPECT_EQ(queue.send(), 0);
    EXPECT_EQ(queue.take_sent(), &slots_[1]);
    EXPECT_EQ(queue.take_sent(), &slots_[2]);
    expected.insert(expected.end(), expected_.begin(), expected_.end());
  }
  EXPECT_EQ(stream.sent, expected);
}

TEST_F(ReplyQueueTest, TriesAgainWhenASignalInterrupts) {
  OneWayStream stream;
  stream.errors = {EINTR, EINTR};
  ReplyQueue queue(stream, 3);
  push_all(queue);
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(stream.sent, expected_);
}

TEST_F(ReplyQueueTest, HandsOutEverySlotOfABrokenStream) {
  OneWayStream stream;
  stream.room = 30;
  ReplyQueue queue(stream, 3);
  push_all(queue);
  EXPECT_EQ(queue.send(), -EAGAIN);
  stream.room = SIZE_MAX;
  stream.errors = {EPIPE};
  EXPECT_EQ(queue.send(), -EPIPE);
  for (Slot& slot : slots_) EXPECT_EQ(queue.take_any(), &slot);
  EXPECT_EQ(queue.take_any(), nullptr);
  EXPECT_EQ(queue.unsent_bytes(), 0U);
}

TEST(ReplyQueue, HoldsMoreRepliesThanOneSystemCallTakes) {
  constexpr std::size_t count = 1500;  // IOV_MAX is 1024, and a reply may need two
  OneWayStream stream;
  ReplyQueue queue(stream, count);
  std::vector<Slot> slots(count);
  const auto payload = pattern(7, 0, 3);
  std::vector<std::byte> expected;
  for (std::size_t i = 0; i < count; ++i) {
    slots[i].header = encode_simple_reply(i, 0);
    if (i % 2 == 0) slots[i].payload = payload;
    const auto header = slots[i].header.used();
    expected.insert(expected.end(), header.begin(), header.end());
    if (i % 2 == 0) expected.insert(expected.end(), payload.begin(), payload.end());
    queue.push(slots[i]);
  }
  EXPECT_EQ(queue.send(), 0);
  EXPECT_GT(stream.calls, 1U);
  EXPECT_EQ(stream.sent, expected);
  for (Slot& slot : slots) EXPECT_EQ(queue.take_sent(), &slot);
}

}  // namespace
}  // namespace nbdring
