#pragma once
// The sending side of a lane: replies in the order in which they became ready, gathered and sent by
// one sendmsg for all of them. There is one sender per stream, so a header and its payload are
// never torn apart.

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

#include "client/engine/slot.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class ReplyQueue {
 public:
  /// slots: how many replies can be ready at once.
  ReplyQueue(Stream& stream, std::size_t slots);

  void push(Slot& slot) noexcept;
  bool empty() const { return count_ == 0; }
  std::size_t unsent_bytes() const { return unsent_bytes_; }

  /// Sends what fits. 0 when all is sent, -EAGAIN while the stream is full, or another -errno.
  int send() noexcept;

  /// The next slot whose reply is sent to its last byte, or null.
  Slot* take_sent() noexcept;
  /// The next slot of a queue whose stream has failed, sent or not, or null.
  Slot* take_any() noexcept;

 private:
  std::size_t gather() noexcept;
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
};

}  // namespace nbdring
