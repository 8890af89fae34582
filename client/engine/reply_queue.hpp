#pragma once
// The sending side of a lane: replies in the order in which they became ready, gathered and sent by
// one sendmsg for all of them. There is one sender per stream, so a header and its payload are
// never torn apart. Replies whose payload was lent or passed on lie in a pipe (ReplyPipe), and one
// splice sends all of them that follow one another; of one that did not fit only the front does.

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

#include "client/engine/reply_pipe.hpp"
#include "client/engine/slot.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class ReplyQueue {
 public:
  /// slots: how many replies can be ready at once.
  ReplyQueue(Stream& stream, std::size_t slots);

  void push(Slot& slot) noexcept;
  /// From here on replies can be lent. Once, at the start.
  void open_pipe() noexcept { pipe_.open(); }
  /// Pushes a READ's reply: the slot's header, and lent pages in the place of what the payload
  /// holds. False: they are not to be had at once, and nothing is pushed.
  bool push_lent(Slot& slot, PageLender& lender) noexcept;
  /// Pushes a READ's reply: the slot's header and a payload that has arrived in a pipe. What does
  /// not fit into ours is copied to its place in the slot's buffer.
  void push_arrived(Slot& slot, ArrivalPipe& payload) noexcept;
  bool empty() const { return count_ == 0; }
  std::size_t unsent_bytes() const { return unsent_bytes_; }

  /// Sends what fits. 0 when all is sent, -EAGAIN while the stream is full, or another -errno.
  int send() noexcept;

  /// The next slot whose reply is sent to its last byte, or null.
  Slot* take_sent() noexcept;
  /// The next slot of a queue whose stream has failed, sent or not, or null.
  Slot* take_any() noexcept;

 private:
  Slot& unsent(std::size_t index) const { return *ring_[(head_ + sent_ + index) % ring_.size()]; }
  std::size_t gather() noexcept;
  std::size_t piped_bytes() const noexcept;
  ssize_t send_some() noexcept;
  void advance(std::size_t bytes) noexcept;
  Slot* pop() noexcept;

  Stream& stream_;
  std::vector<Slot*> ring_;
  std::size_t head_ = 0;     // the oldest reply
  std::size_t count_ = 0;    // replies in the ring
  std::size_t sent_ = 0;     // of them sent to the last byte, at the head
  std::size_t partial_ = 0;  // bytes of the first unsent reply that are out
  std::size_t unsent_bytes_ = 0;
  std::vector<iovec> buffers_;
  ReplyPipe pipe_;
};

}  // namespace nbdring
