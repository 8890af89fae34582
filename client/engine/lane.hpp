#pragma once
// A lane: one connection of a device, and everything that its requests need: slots, buffers, the
// backend's part.
//
// The way of a request. receive() takes a header from the stream, has it checked, claims a slot and
// a buffer (none free: it stops receiving, which is the back-pressure), fills a WRITE's payload
// into the buffer and lets the slot's coroutine go. serve() is that coroutine, one per slot, for
// ever: backend, then reply. Replies gather in the ReplyQueue and go out at the end of the loop's
// turn, or earlier when they are large, in one system call.
//
// Promises, held by tests/simulation: every request that was received is answered exactly once
// while the stream lives; a refused WRITE's payload is drained, so the stream never loses step;
// run() ends only when nothing is in flight.
//
// One loop's thread. Nothing allocates once run() has begun to receive.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "client/engine/arena.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/reply_queue.hpp"
#include "client/engine/request_reader.hpp"
#include "client/engine/slot.hpp"
#include "client/engine/stats.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

struct LaneOptions {
  std::size_t slots = 128;                       // requests at once; the driver's queue depth
  std::size_t resident_bytes = 4 * 1024 * 1024;  // payload memory that an idle lane keeps
  /// Touch that memory at the start: for the driver, whose requests may be what frees memory.
  bool populate = true;
  std::size_t largest_payload = 32 * 1024 * 1024;  // bytes; the largest READ or WRITE
  /// How long the client may stop in the middle of a request, or leave replies unread; 0: for ever
  /// (the driver).
  Clock::duration stall_deadline{0};
};

/// Why a lane ended. The text is one clause for the log, empty where nothing is worth saying.
struct LaneEnd {
  bool is_orderly = false;  // DISC, or the stream ended between two requests
  std::string reason;
};

class Lane final : private TurnEnd {
 public:
  Lane(Loop& loop, Stream& stream, BackendLane& backend, const Export& about,
       const TransmissionOptions& transmission, const LaneOptions& options, LaneStats& stats);

  /// Serves until the client disconnects, the stream ends or breaks; every request received is
  /// finished by then.
  Task<LaneEnd> run();

  FramePool& frames() { return loop_.frames(); }

 private:
  class NextRequest;

  Task<LaneEnd> receive();
  Task<bool> receive_payload(Slot& slot, std::size_t have);
  Task<bool> refuse(const Refusal& refusal);
  Task<void> wait_readable(bool in_message);
  Task<void> serve(Slot& slot);
  Task<void> send_when_writable();

  Slot* claim(std::size_t buffer_bytes) noexcept;
  void finish(Slot& slot, Status status) noexcept;
  void answer(Slot& slot, std::uint32_t nbd_error) noexcept;
  void count_answered(const Slot& slot, bool failed, Clock::time_point now) noexcept;
  void flush() noexcept;
  void release_sent() noexcept;
  void release(Slot& slot) noexcept;
  void turn_ended() noexcept override;
  LaneEnd stream_end(bool in_message) const;

  Loop& loop_;
  Stream& stream_;
  BackendLane& backend_;
  const Export& about_;
  const TransmissionOptions transmission_;
  const LaneOptions options_;
  LaneStats& stats_;

  RequestReader reader_;
  Arena arena_;
  std::vector<Slot> slots_;
  Slot* free_slots_ = nullptr;
  std::size_t in_flight_ = 0;
  ReplyQueue replies_;

  Clock::time_point received_at_;  // when the bytes that are being parsed arrived
  ssize_t receive_result_ = 1;     // the last one; 0 or an -errno ended the stream
  unsigned receives_ = 0;          // in this turn of the loop
  int send_error_ = 0;             // errno that ended the sending side
  const char* stall_ = nullptr;    // what the client did until its time was over
  bool ending_ = false;
  bool draining_ = false;
  Event capacity_;         // a slot or a buffer came free
  bool released_ = false;  // since capacity_ was looked at
  Event blocked_;          // the stream is full: send_when_writable() has the word
  Event drained_;          // nothing is in flight any more
};

}  // namespace nbdring
