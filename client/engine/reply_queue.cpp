#include "client/engine/reply_queue.hpp"

#include <limits.h>

#include <algorithm>
#include <cerrno>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::size_t bytes_of(const Slot& slot) { return slot.header.size + slot.payload.size(); }

}  // namespace

ReplyQueue::ReplyQueue(Stream& stream, std::size_t slots)
    : stream_(stream), ring_(slots, nullptr), buffers_(std::min<std::size_t>(2 * slots, IOV_MAX)) {
  ENSURE(slots > 0);
}

void ReplyQueue::push(Slot& slot) noexcept {
  ENSURE(count_ < ring_.size());
  ring_[(head_ + count_) % ring_.size()] = &slot;
  ++count_;
  unsent_bytes_ += bytes_of(slot);
}

bool ReplyQueue::push_lent(Slot& slot, PageLender& lender) noexcept {
  const bool is_put = pipe_.put(slot.header, lender, slot.request.offset, slot.payload.size());
  if (!is_put) return false;
  slot.is_piped = true;
  push(slot);
  return true;
}

std::size_t ReplyQueue::gather() noexcept {
  std::size_t used = 0;
  std::size_t skip = partial_;
  for (std::size_t i = 0; sent_ + i < count_ && used + 2 <= buffers_.size(); ++i) {
    Slot& slot = unsent(i);
    if (slot.is_piped) break;
    const std::size_t header = slot.header.size;
    if (skip < header) {
      buffers_[used++] = {slot.header.bytes.data() + skip, header - skip};
      skip = header;
    }
    const std::size_t payload_skip = skip - header;
    if (payload_skip < slot.payload.size()) {
      auto* payload = const_cast<std::byte*>(slot.payload.data());  // sendmsg only reads it
      buffers_[used++] = {payload + payload_skip, slot.payload.size() - payload_skip};
    }
    skip = 0;
  }
  return used;
}

// How much there is to take out of the pipe before the next reply that is not in it.
std::size_t ReplyQueue::piped_bytes() const noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; sent_ + i < count_ && unsent(i).is_piped; ++i)
    bytes += bytes_of(unsent(i));
  return bytes > 0 ? bytes - partial_ : 0;
}

ssize_t ReplyQueue::send_some() noexcept {
  const std::size_t piped = piped_bytes();
  if (piped == 0) return stream_.send(std::span(buffers_).first(gather()));
  return stream_.send_from_pipe(pipe_.outlet(), piped);
}

void ReplyQueue::advance(std::size_t bytes) noexcept {
  ENSURE(bytes <= unsent_bytes_);
  unsent_bytes_ -= bytes;
  while (bytes > 0) {
    Slot& slot = unsent(0);
    const std::size_t out = std::min(bytes, bytes_of(slot) - partial_);
    bytes -= out;
    partial_ += out;
    if (slot.is_piped) pipe_.taken(out);
    if (partial_ < bytes_of(slot)) return;
    if (slot.is_piped) pipe_.emptied(slot.payload.size());
    partial_ = 0;
    ++sent_;
  }
}

int ReplyQueue::send() noexcept {
  while (sent_ < count_) {
    const ssize_t result = send_some();
    if (result < 0 && result != -EINTR) return static_cast<int>(result);
    if (result > 0) advance(static_cast<std::size_t>(result));
  }
  return 0;
}

Slot* ReplyQueue::pop() noexcept {
  Slot* slot = ring_[head_];
  head_ = (head_ + 1) % ring_.size();
  --count_;
  return slot;
}

Slot* ReplyQueue::take_sent() noexcept {
  if (sent_ == 0) return nullptr;
  --sent_;
  return pop();
}

Slot* ReplyQueue::take_any() noexcept {
  if (count_ == 0) return nullptr;
  sent_ = 0;
  partial_ = 0;
  unsent_bytes_ = 0;
  return pop();
}

}  // namespace nbdring
