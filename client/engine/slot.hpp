#pragma once
// A slot: one request's place in a lane. It exists before the request arrives, coroutine and all; a
// lane without a free slot does not receive.

#include <coroutine>
#include <cstddef>
#include <span>

#include "client/protocol/reply.hpp"
#include "client/protocol/request.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

struct Slot {
  Request request{};
  std::span<std::byte> buffer;         // of the lane's arena; empty for commands without a payload
  ReplyHeader header{};                // what answers the request...
  std::span<const std::byte> payload;  // ...and follows the header
  Clock::time_point arrived;           // when its header was received
  std::coroutine_handle<> waiting;     // its coroutine, between requests
  Slot* next = nullptr;                // in the list of free slots
};

}  // namespace nbdring
