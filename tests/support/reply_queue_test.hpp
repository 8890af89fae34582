#pragma once
// What a ReplyQueue has to send: for the tests of its ways around a copy.

#include <gtest/gtest.h>

#include <array>
#include <span>
#include <vector>

#include "client/engine/reply_queue.hpp"
#include "tests/support/one_way_stream.hpp"

namespace nbdring {

class ReplyQueueTest : public testing::Test {
 protected:
  void expect(const Slot& slot, std::span<const std::byte> payload) {
    const auto header = slot.header.used();
    expected_.insert(expected_.end(), header.begin(), header.end());
    expected_.insert(expected_.end(), payload.begin(), payload.end());
  }

  /// What push(queue) has pushed and expected is sent in its order, wherever the stream breaks off.
  template <typename Push>
  void sends_all_after_a_break_anywhere(Push push) {
    std::size_t total = 0;
    for (std::size_t cut = 0; cut <= total; cut += cut % 4096 < 64 ? 1 : 1021) {
      used_ = 0;
      expected_.clear();
      OneWayStream out;
      out.room = cut;
      ReplyQueue queue(out, slots_.size());
      queue.open_pipe();
      push(queue);
      total = expected_.size();
      EXPECT_EQ(queue.send(), cut < total ? -EAGAIN : 0);
      EXPECT_EQ(queue.unsent_bytes(), total - cut);
      out.room = SIZE_MAX;
      ASSERT_EQ(queue.send(), 0);
      ASSERT_EQ(out.sent, expected_) << "cut at " << cut;
      for (std::size_t i = 0; i < used_; ++i) EXPECT_EQ(queue.take_sent(), &slots_[i]);
      EXPECT_TRUE(queue.empty());
    }
  }

  std::array<Slot, 128> slots_;
  std::size_t used_ = 0;  // of the slots
  std::vector<std::byte> expected_;
};

}  // namespace nbdring
