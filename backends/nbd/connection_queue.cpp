#include "backends/nbd/connection_queue.hpp"

#include <limits.h>

#include <algorithm>
#include <cerrno>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::size_t bytes_of(const ConnectionSlot& slot) { return slot.header.size + slot.payload.size(); }

}  // namespace

ConnectionQueue::ConnectionQueue(Stream& stream, std::size_t requests)
    : stream_(stream), buffers_(std::min<std::size_t>(2 * requests, IOV_MAX)) {}

void ConnectionQueue::push(ConnectionSlot& slot) noexcept {
  queued_.push(slot);
  unsent_bytes_ += bytes_of(slot);
}

std::size_t ConnectionQueue::gather() noexcept {
  std::size_t used = 0;
  std::size_t skip = partial_;
  for (ConnectionSlot* slot = queued_.front(); slot != nullptr && used + 2 <= buffers_.size();
       slot = slot->next) {
    slot->is_offered = true;
    const std::size_t header = slot->header.size;
    if (skip < header) {
      buffers_[used++] = {slot->header.bytes.data() + skip, header - skip};
      skip = header;
    }
    const std::size_t payload_skip = skip - header;
    if (payload_skip < slot->payload.size()) {
      auto* payload = const_cast<std::byte*>(slot->payload.data());  // sendmsg only reads it
      buffers_[used++] = {payload + payload_skip, slot->payload.size() - payload_skip};
    }
    skip = 0;
  }
  return used;
}

void ConnectionQueue::advance(std::size_t bytes) noexcept {
  ENSURE(bytes <= unsent_bytes_);
  unsent_bytes_ -= bytes;
  sent_bytes_ += bytes;
  while (bytes > 0) {
    ConnectionSlot& slot = *queued_.front();
    const std::size_t rest = bytes_of(slot) - partial_;
    if (bytes < rest) {
      partial_ += bytes;
      return;
    }
    bytes -= rest;
    partial_ = 0;
    queued_.pop();
    slot.is_sent = true;
    if (slot.is_answered) late_.push(slot);
  }
}

int ConnectionQueue::send() noexcept {
  while (!queued_.empty()) {
    const std::size_t used = gather();
    const ssize_t result = stream_.send(std::span(buffers_).first(used));
    if (result == -EINTR) continue;
    is_held_ = result == -EAGAIN;
    if (result < 0) return static_cast<int>(result);
    advance(static_cast<std::size_t>(result));
  }
  return 0;
}

void ConnectionQueue::clear() noexcept {
  queued_.clear();
  late_.clear();
  unsent_bytes_ = 0;
}

}  // namespace nbdring
