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
// A device's lane has company: somebody who is told when it is lost or parked, and the fence
// between the device's lanes (client/engine/fence.hpp). lane.cpp receives, lane_serve.cpp answers.
//
// One loop's thread. Nothing allocates once run() has begun to receive.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "client/engine/arena.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/fence.hpp"
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
  /// Lend pages where the backend and the stream can. For the driver, whose pages are aligned as
  /// the file's are; for others see copies_badly() (client/engine/copy_flaw.hpp).
  bool lends = true;
  /// How long the client may stop in the middle of a request, or leave replies unread; 0: for ever
  /// (the driver).
  Clock::duration stall_deadline{0};
};

/// Why a lane ended. The text is one clause for the log, empty where nothing is worth saying.
struct LaneEnd {
  bool is_orderly = false;  // DISC, or the stream ended between two requests
  std::string reason;
  bool is_disconnect = false;  // DISC
  bool is_handed_on = false;   // the stream lives, at a request boundary
};

/// What a device's lane tells its owner, on the lane's thread.
class LaneWatcher {
 public:
  /// The stream is over, by DISC or without. True: nobody had asked for that, the lane is lost.
  virtual bool is_lost(const LaneEnd& end) noexcept = 0;
  /// What the lane had begun is declared to the fence, and what it does from here on is counted
  /// nowhere: another connection may take its place. oldest: how long the oldest request that it
  /// leaves unanswered had been there.
  virtual void lost(Clock::duration oldest) noexcept = 0;
  /// Nothing is in flight, every reply is out, nothing is half received: after pause().
  virtual void parked() noexcept = 0;

 protected:
  ~LaneWatcher() = default;
};

/// What the lane of a device has, and that of a server's client has not. Both outlive the lane.
struct LaneCompany {
  LaneWatcher* watcher = nullptr;
  FenceLane* fence = nullptr;
};

class Lane final : private TurnEnd {
 public:
  Lane(Loop& loop, Stream& stream, BackendLane& backend, const Export& about,
       const TransmissionOptions& transmission, const LaneOptions& options, LaneStats& stats,
       const LaneCompany& company = {});

  /// Serves until the client disconnects, the stream ends or breaks; every request received is
  /// finished by then.
  Task<LaneEnd> run();

  /// Stops at a request boundary: whole requests that were read already are served, a half one is
  /// received to its end, and nothing beyond it is read. Then LaneWatcher::parked().
  void pause() noexcept;
  /// Goes on, parked or not yet.
  void resume() noexcept;
  /// A parked lane ends; its stream is left as it is.
  void hand_on() noexcept;

  FramePool& frames() { return loop_.frames(); }

 private:
  class NextRequest;
  class Alarm;
  enum class Wish { serve, pause, hand_on };

  // lane.cpp
  Task<LaneEnd> receive();
  Task<bool> receive_payload(Slot& slot, std::size_t have);
  Task<bool> refuse(const Refusal& refusal);
  Task<void> wait_readable(bool in_message);
  Task<void> park();
  Task<void> settle();
  void wish(Wish wish) noexcept;
  RequestReader::Received receive_some(std::span<std::byte> payload_rest, std::size_t message_rest);
  LaneEnd stream_end(bool in_message) const;
  void lose() noexcept;

  // lane_serve.cpp
  Task<void> serve(Slot& slot);
  Task<bool> pass_fence(Slot& slot);
  Task<void> look_regularly();
  Task<void> send_when_writable();
  Task<Slot*> claim_or_wait(std::size_t buffer_bytes);
  Slot* claim(std::size_t buffer_bytes) noexcept;
  bool begins_at_once(Slot& slot) noexcept;
  void change_ended(Slot& slot) noexcept;
  void look() noexcept;
  bool answer_lent(Slot& slot) noexcept;
  Task<Status> read(Slot& slot, Arrival& arrival) noexcept;
  bool answer_arrived(Slot& slot, const Arrival& arrival) noexcept;
  ReplyHeader read_header(const Request& request) const noexcept;
  void finish(Slot& slot, Status status) noexcept;
  void answer(Slot& slot, std::uint32_t nbd_error) noexcept;
  void flush() noexcept;
  void release_sent() noexcept;
  void release(Slot& slot) noexcept;
  void turn_ended() noexcept override;

  Loop& loop_;
  Stream& stream_;
  BackendLane& backend_;
  const Export& about_;
  const TransmissionOptions transmission_;
  const LaneOptions options_;
  LaneStats& stats_;  // another lane's once this one is lost
  const LaneCompany company_;

  RequestReader reader_;
  Arena arena_;
  std::vector<Slot> slots_;
  Slot* free_slots_ = nullptr;
  std::size_t in_flight_ = 0;
  ReplyQueue replies_;
  PageLender* lender_ = nullptr;  // null: it lends none
  bool passes_pages_on_ = false;  // the backend, and the stream takes them

  Clock::time_point received_at_;  // when the bytes that are being parsed arrived
  Clock::time_point now_;          // no older than the last wait
  // When the stream was last read empty, and the two times before: see Fence on ages.
  Clock::time_point emptied_, emptied_before_, sent_after_;
  ssize_t receive_result_ = 1;   // the last one; 0 or an -errno ended the stream
  unsigned receives_ = 0;        // in this turn of the loop
  unsigned singles_ = 0;         // waits in a row for which one request at most had come
  int send_error_ = 0;           // errno that ended the sending side
  const char* stall_ = nullptr;  // what the client did until its time was over
  Wish wish_ = Wish::serve;
  bool lost_ = false;
  bool ending_ = false;
  bool awaits_idle_ = false;  // settled_ is to be raised when nothing is in flight
  Event settled_;
  Event capacity_;                // a slot or a buffer came free
  bool released_ = false;         // since capacity_ was looked at
  bool awaits_capacity_ = false;  // and does not receive meanwhile
  bool hung_up_ = false;          // the peer, meanwhile
  Event look_due_;
  Event blocked_;  // the stream is full: send_when_writable() has the word
};

}  // namespace nbdring
