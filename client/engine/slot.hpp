#pragma once
// A slot: one request's place in a lane. It exists before the request arrives, coroutine and all; a
// lane without a free slot does not receive.

#include <coroutine>
#include <cstddef>
#include <span>

#include "client/engine/fence.hpp"
#include "client/protocol/reply.hpp"
#include "client/protocol/request.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

struct Slot {
  Request request{};
  std::span<std::byte> buffer;         // of the lane's arena; empty for commands without a payload
  ReplyHeader header{};                // what answers the request...
  std::span<const std::byte> payload;  // ...and follows the header
  std::size_t piped = 0;               // bytes of both that are in the ReplyPipe, from the front
  Clock::time_point arrived;           // when its header was received
  Clock::time_point sent_after;        // the earliest at which it can have been sent (see Fence)
  Ghost ghost;                         // of a change under way
  bool is_changing = false;            // the backend has the change
  bool is_in_use = false;              // not in the list of free slots
  std::coroutine_handle<> waiting;     // its coroutine, between requests
  Slot* next = nullptr;                // in the list of free slots
};

}  // namespace nbdring
