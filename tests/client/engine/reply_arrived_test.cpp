// Replies whose payload came in a pipe: their order among others, breaks anywhere, no room.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/reply_queue_test.hpp"

namespace nbdring {
namespace {

constexpr std::size_t payload_bytes = 20'000;

class ReplyArrivedTest : public ReplyQueueTest {
 protected:
  ReplyArrivedTest() : stream_(loop_, std::move(pair_.near)) { pipe_.open(stream_); }

  // In pieces of so many bytes, each of which takes a place in a pipe.
  void arrive(const std::vector<std::byte>& payload, std::size_t piece) {
    std::span<const std::byte> rest = payload;
    while (!rest.empty()) {
      const auto next = rest.first(std::min(piece, rest.size()));
      ASSERT_EQ(::send(pair_.far.get(), next.data(), next.size(), 0),
                static_cast<ssize_t>(next.size()));
      while (pipe_.receive(stream_, next.size()) > 0) continue;
      rest = rest.subspan(next.size());
    }
    ASSERT_EQ(pipe_.size(), payload.size());
  }
  Slot& next_slot(std::size_t length) {
    Slot& slot = slots_[used_];
    slot = Slot();
    buffers_[used_].assign(length, std::byte{0});
    slot.buffer = buffers_[used_];
    slot.payload = slot.buffer;
    slot.header = encode_simple_reply(used_++, 0);
    return slot;
  }
  Slot& push_arrived(ReplyQueue& queue, std::size_t length, std::size_t piece = SIZE_MAX) {
    Slot& slot = next_slot(length);
    const auto payload = pattern(used_, 0, length);
    arrive(payload, piece);
    queue.push_arrived(slot, pipe_);
    EXPECT_EQ(pipe_.size(), 0U);
    expect(slot, payload);
    return slot;
  }
  void push_copied(ReplyQueue& queue, std::size_t length) {
    Slot& slot = next_slot(length);
    queue.push(slot);
    expect(slot, slot.payload);
  }

  Loop loop_;
  SocketPair pair_;
  SocketStream stream_;
  ArrivalPipe pipe_;
  std::array<std::vector<std::byte>, 128> buffers_;  // the slots'
};

TEST_F(ReplyArrivedTest, KeepsTheOrderAndGoesOnAfterABreakAnywhere) {
  sends_all_after_a_break_anywhere([this](ReplyQueue& queue) {
    push_copied(queue, 10);
    EXPECT_EQ(push_arrived(queue, payload_bytes).piped, payload_bytes + 16);
    push_arrived(queue, payload_bytes + 7);
    push_copied(queue, 0);
    push_copied(queue, 5000);
    push_arrived(queue, payload_bytes);
  });
}

// Some fit as a whole, one in part, the next not at all, among others; and again when that is out.
TEST_F(ReplyArrivedTest, CopiesWhatDoesNotFit) {
  std::size_t total = 0;
  for (std::size_t cut = 0; cut <= total; cut += 3001) {
    used_ = 0;
    expected_.clear();
    OneWayStream out;
    out.room = cut;
    ReplyQueue queue(out, slots_.size());
    queue.open_pipe();
    std::size_t whole = 0;
    std::size_t partly = 0;
    std::size_t none = 0;
    for (int i = 0; i < 8; ++i) {
      const std::size_t length = 8000 + static_cast<std::size_t>(i);
      const std::size_t piped =
          push_arrived(queue, length, 100).piped;  // 81 places with its header
      whole += piped == length + 16 ? 1 : 0;
      partly += piped > 16 && piped < length + 16 ? 1 : 0;
      none += piped == 0 ? 1 : 0;
      push_copied(queue, 30);
    }
    EXPECT_GT(whole, 0U);
    EXPECT_EQ(partly, 1U);
    EXPECT_GT(none, 0U);
    total = expected_.size();
    EXPECT_EQ(queue.send(), cut < total ? -EAGAIN : 0);
    out.room = SIZE_MAX;
    ASSERT_EQ(queue.send(), 0);
    ASSERT_EQ(out.sent, expected_) << "cut at " << cut;
    while (queue.take_sent() != nullptr) continue;
    EXPECT_EQ(push_arrived(queue, payload_bytes).piped, payload_bytes + 16)
        << "there is room again";
    EXPECT_EQ(queue.send(), 0);
    ASSERT_EQ(out.sent, expected_);
  }
}

TEST_F(ReplyArrivedTest, CopiesWhereThereIsNoPipe) {
  OneWayStream out;
  ReplyQueue queue(out, slots_.size());
  EXPECT_EQ(push_arrived(queue, payload_bytes).piped, 0U);
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(out.sent, expected_);
}

}  // namespace
}  // namespace nbdring
