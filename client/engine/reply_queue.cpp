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
  slot.piped = bytes_of(slot);
  push(slot);
  return true;
}

void ReplyQueue::push_arrived(Slot& slot, ArrivalPipe& payload) noexcept {
  ENSURE(payload.size() == slot.payload.size());
  slot.piped = pipe_.put_arrived(slot.header, payload);
  if (payload.size() > 0) payload.copy_to(slot.buffer.last(payload.size()));
  push(slot);
}

std::size_t ReplyQueue::gather() noexcept {
  std::size_t used = 0;
  std::size_t skip = partial_;
  for (std::size_t i = 0; sent_ + i < count_ && used + 2 <= buffers_.size(); ++i) {
    Slot& slot = unsent(i);
    if (slot.piped > skip) break;
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

// How much there is to take out of the pipe before the next byte that is not in it.
std::size_t ReplyQueue::piped_bytes() const noexcept {
  std::size_t bytes = 0;
  std::size_t skip = partial_;
  for (std::size_t i = 0; sent_ + i < count_ && unsent(i).piped > skip; ++i) {
    bytes += unsent(i).piped - skip;
    if (unsent(i).piped < bytes_of(unsent(i))) break;
    skip = 0;
  }
  return bytes;
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
    if (partial_ < slot.piped) pipe_.taken(std::min(out, slot.piped - partial_));
    partial_ += out;
    if (partial_ < bytes_of(slot)) return;
    if (slot.piped > 0) pipe_.emptied(slot.piped - slot.header.size);
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
