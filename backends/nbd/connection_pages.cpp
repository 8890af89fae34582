// Receiving by reference: READs whose data nobody here looks at.

#include <cerrno>

#include "backends/nbd/connection_state.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

// The data that is on its way is a whole READ's, and the bytes that end it: once they are there
// nothing can make it fail, and nothing else comes between them.
bool Connection::State::receives_pages() const noexcept {
  if (arrival_pipe_.size() > 0) return true;
  if (!decoder_.awaits_whole_read()) return false;
  const AwaitedReply& reply = *decoder_.under_way();
  const auto& slot = static_cast<const ConnectionSlot&>(reply);
  return slot.arrival != nullptr && arrival_pipe_.has_room_for(slot.data.size());
}

// As receive_some(), of the data only. -ENOBUFS: the rest is to be received in its place, where
// what has come already is now.
ssize_t Connection::State::receive_pages(std::size_t bytes) noexcept {
  ssize_t result = arrival_pipe_.receive(stream_, bytes);
  // Something was said to be there, and cannot come by reference now (urgent data, no memory):
  // waiting for it would end at once, again and again.
  if (result == -EAGAIN && !may_receive_) result = -ENOBUFS;
  if (result == -ENOBUFS) arrival_pipe_.copy_to(decoder_.under_way()->data);
  if (result <= 0) return result;
  const auto received = static_cast<std::size_t>(result);
  decoder_.data_received(received);
  ahead_used_ = 0;
  may_receive_ = received == bytes && ++receives_ < receives_per_turn;
  return result;
}

// The answer is complete. Whoever waits for it takes the data out while it is resumed.
void Connection::State::resume(ConnectionSlot& slot) noexcept {
  if (arrival_pipe_.size() > 0) slot.arrival->pipe = &arrival_pipe_;
  slot.waiting.resume();
  ENSURE(arrival_pipe_.size() == 0);
}

}  // namespace nbdring
