#pragma once
// A request's place in a connection: the question, how much of it is sent, the answer so far, who
// waits for it. Slots exist from the start; a cookie names one.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/engine/arrival_pipe.hpp"
#include "client/protocol/reply_decoder.hpp"
#include "client/protocol/request_encoder.hpp"

namespace nbdring {

struct ConnectionSlot final : AwaitedReply {
  EncodedRequest header;
  std::span<const std::byte> payload;  // of a WRITE
  Arrival* arrival = nullptr;          // of a READ whose data may be passed on by reference
  std::coroutine_handle<> waiting;
  ConnectionSlot* next = nullptr;  // in the one list that the slot is in: free, to send, late

  bool is_in_flight = false;
  bool is_offered = false;   // the stream has seen it: a reply is possible
  bool is_sent = false;      // to its last byte: its payload is not needed any more
  bool is_answered = false;  // the reply is there
  bool is_lost = false;      // the connection ended first

  std::uint64_t generation = 0;      // tells this request from the slot's former ones
  std::uint64_t begun_tick = 0;      // of the connection's watchdog
  std::uint64_t progress_tick = 0;   // the last with a sign of this request
  std::uint64_t answers_before = 0;  // given on the connection before this one began
};

/// First in, first out.
class ConnectionSlotList {
 public:
  bool empty() const { return head_ == nullptr; }
  ConnectionSlot* front() const { return head_; }
  void push(ConnectionSlot& slot) noexcept {
    slot.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &slot;
    tail_ = &slot;
  }
  ConnectionSlot* pop() noexcept {
    ConnectionSlot* slot = head_;
    if (slot != nullptr) head_ = slot->next;
    return slot;
  }
  void clear() noexcept { head_ = nullptr; }

 private:
  ConnectionSlot* head_ = nullptr;
  ConnectionSlot* tail_ = nullptr;
};

}  // namespace nbdring
