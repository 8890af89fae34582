// Replies that lie in a pipe, among others that do not: their order, breaks anywhere, no room.

#include "client/engine/reply_pipe.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <array>
#include <vector>

#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/reply_queue_test.hpp"

namespace nbdring {
namespace {

constexpr std::size_t size = 1024 * 1024;

// Lends a file's pages; what is at hand and how much is lent is the test's choice.
struct FileLender final : PageLender {
  FileLender() : file(size) { file.write(0, pattern(1, 0, size)); }

  bool has_at_hand(std::uint64_t, std::size_t) noexcept override { return is_at_hand; }
  std::size_t lend(std::uint64_t offset, std::size_t length, int pipe) noexcept override {
    ++lent;
    auto position = static_cast<off64_t>(offset);
    std::size_t done = 0;
    while (done < std::min(length, lends_at_most)) {
      const std::size_t rest = std::min(length, lends_at_most) - done;
      const ssize_t count = ::splice(file.fd(), &position, pipe, nullptr, rest, SPLICE_F_NONBLOCK);
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  TemporaryFile file;
  bool is_at_hand = true;
  std::size_t lends_at_most = SIZE_MAX;
  std::size_t lent = 0;
};

class ReplyPipeTest : public ReplyQueueTest {
 protected:
  static constexpr std::size_t least = ReplyPipe::smallest;

  // A READ's reply; the buffer of one that is lent holds something else.
  Slot& reply(std::uint64_t offset, std::size_t length) {
    Slot& slot = slots_[used_++];
    slot.request.offset = offset;
    slot.header = encode_simple_reply(used_, 0);
    slot.payload = std::span(other_).first(length);
    return slot;
  }
  void push_copied(ReplyQueue& queue, std::size_t length) {
    Slot& slot = reply(0, length);
    queue.push(slot);
    expect(slot, slot.payload);
  }
  void push_lent(ReplyQueue& queue, std::uint64_t offset, std::size_t length) {
    Slot& slot = reply(offset, length);
    ASSERT_TRUE(queue.push_lent(slot, lender_));
    expect(slot, pattern(1, offset, length));
  }
  // How many replies of this length the pipe takes.
  std::size_t fill(ReplyQueue& queue, std::size_t length) {
    std::size_t count = 0;
    while (queue.push_lent(reply(3, length), lender_)) ++count;
    return count;
  }

  FileLender lender_;
  std::vector<std::byte> other_ = std::vector<std::byte>(size);
};

TEST_F(ReplyPipeTest, KeepsTheOrderAndGoesOnAfterABreakAnywhere) {
  sends_all_after_a_break_anywhere([this](ReplyQueue& queue) {
    push_copied(queue, 10);
    push_lent(queue, 0, least);
    push_lent(queue, 4001, least + 7);
    push_copied(queue, 0);
    push_copied(queue, 5000);
    push_lent(queue, 8192, least);
  });
}

TEST_F(ReplyPipeTest, SendsWhatFollowsOneAnotherByOneCall) {
  OneWayStream stream;
  ReplyQueue queue(stream, slots_.size());
  queue.open_pipe();
  for (int i = 0; i < 4; ++i) push_lent(queue, 4096, least);
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(stream.calls, 1U);
  EXPECT_EQ(stream.sent, expected_);
}

TEST_F(ReplyPipeTest, SendsNothingOfWhatCouldNotBeLentAsAWhole) {
  OneWayStream stream;
  ReplyQueue queue(stream, slots_.size());
  queue.open_pipe();
  push_lent(queue, 0, least);
  lender_.lends_at_most = 5000;
  EXPECT_FALSE(queue.push_lent(reply(0, least), lender_));
  --used_;
  lender_.lends_at_most = SIZE_MAX;
  EXPECT_FALSE(queue.push_lent(reply(0, least), lender_)) << "behind what is to be dropped";
  --used_;
  push_copied(queue, 100);
  EXPECT_EQ(queue.send(), 0);
  push_lent(queue, 12'288, least);
  EXPECT_EQ(queue.send(), 0);
  EXPECT_EQ(stream.sent, expected_);
}

TEST_F(ReplyPipeTest, TakesWhatFitsAndAsMuchAgainWhenThatIsOut) {
  OneWayStream stream;
  ReplyQueue queue(stream, slots_.size());
  queue.open_pipe();
  const std::size_t fits = fill(queue, 128 * 1024);
  EXPECT_GE(fits, 1U);
  EXPECT_LT(fits, slots_.size());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(queue.send(), 0);
    while (queue.take_sent() != nullptr) {
    }
    EXPECT_EQ(lender_.lent, fits * static_cast<std::size_t>(round + 1)) << "tried without room";
    used_ = 0;
    EXPECT_EQ(fill(queue, 128 * 1024), fits);
  }
}

TEST_F(ReplyPipeTest, LeavesToBeCopiedWhatIsSmallOrTooLargeOrNotAtHand) {
  OneWayStream stream;
  ReplyQueue queue(stream, slots_.size());
  EXPECT_FALSE(queue.push_lent(reply(0, least), lender_)) << "no pipe";
  queue.open_pipe();
  EXPECT_FALSE(queue.push_lent(reply(0, least - 1), lender_));
  EXPECT_FALSE(queue.push_lent(reply(0, size), lender_));
  lender_.is_at_hand = false;
  EXPECT_FALSE(queue.push_lent(reply(0, least), lender_));
  EXPECT_EQ(lender_.lent, 0U);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.unsent_bytes(), 0U);
}

}  // namespace
}  // namespace nbdring
