#pragma once
// The sending side of a connection: requests in the order in which they were made, gathered and
// sent by one call for all of them, headers and payloads. There is one sender per stream, so
// neither is ever torn apart.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/nbd/connection_slot.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

class ConnectionQueue {
 public:
  /// requests: how many can wait to be sent at once.
  ConnectionQueue(Stream& stream, std::size_t requests);

  void push(ConnectionSlot& slot) noexcept;
  bool empty() const { return queued_.empty(); }
  std::size_t unsent_bytes() const { return unsent_bytes_; }
  /// Since the start.
  std::uint64_t sent_bytes() const { return sent_bytes_; }

  /// Sends what fits. 0 when all is sent, -EAGAIN while the stream is full, or another -errno.
  int send() noexcept;
  /// What was answered before the stream said that it was sent, and is sent now; or null.
  ConnectionSlot* take_late() noexcept { return late_.pop(); }

  /// Another message can be sent in step: nothing is sent in part or held by the stream.
  bool is_between_requests() const { return partial_ == 0 && !is_held_; }
  /// Nothing of it will be sent any more.
  void clear() noexcept;

 private:
  std::size_t gather() noexcept;
  void advance(std::size_t bytes) noexcept;

  Stream& stream_;
  ConnectionSlotList queued_;
  ConnectionSlotList late_;
  std::size_t partial_ = 0;  // bytes of the first request that are out
  bool is_held_ = false;     // the stream said -EAGAIN and may hold what it was offered
  std::size_t unsent_bytes_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::vector<iovec> buffers_;
};

}  // namespace nbdring
