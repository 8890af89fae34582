#pragma once
// What a Connection is made of: its part that sends, its part that receives, its watch.
//
// Sending. A request takes a slot, is queued, and goes out at the end of the loop's turn, or at
// once when 128 KiB are queued. A stream that is full goes on in send_when_writable().
//
// Receiving. One receive takes the rest of the READ's data that is on its way, in its place, and
// then what is behind it into a buffer of our own; as many replies as are there are decoded, and
// whoever waits for one is resumed in the middle of it: it may ask anew at once, but must not
// destroy the connection.
//
// Loss. lose() only notes it and drops what is queued; it resumes nobody, for it is called from
// anywhere. A timer that is due at once then tells everybody, from a stack of its own. From the
// loss on no byte is written to a caller's buffer. Receiving goes on, into nothing, because the
// server's own end is what end() waits for.
//
// Watch. One timer for all requests ticks eight times in a request's deadline. A request whose
// deadline has passed without a sign of it ends the connection, unless the server is busy with
// others that it may be waiting behind: bytes flow, and it has not been overtaken by more answers
// than can be in flight. At most sixteen deadlines are given in this way.

#include <array>
#include <coroutine>
#include <optional>
#include <string>
#include <vector>

#include "backends/nbd/connection.hpp"
#include "backends/nbd/connection_queue.hpp"
#include "backends/nbd/connection_slot.hpp"
#include "client/protocol/reply_decoder.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

struct Connection::State final : private TurnEnd, private AwaitedReplies {
  struct Question {
    Command command = Command::flush;
    std::uint16_t flags = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::span<std::byte> data;
    Arrival* arrival = nullptr;
    std::span<const std::byte> payload;
    ExtentList* list = nullptr;
  };

  State(Loop& loop, Dialled dialled, const ConnectionOptions& options);
  ~State() override = default;

  Task<Answer> ask(Question question);
  Task<Fence> end(std::chrono::milliseconds deadline);
  Task<void> wait_lost();
  std::size_t in_flight() const { return in_flight_ + waiting_; }
  FramePool& frames() { return loop_.frames(); }

  Dialled dialled;
  bool is_lost = false;
  bool was_misled = false;
  std::string lost_reason;

 private:
  /// Calls a function of the state when it is due.
  class Due final : public Timer {
   public:
    using Call = void (State::*)();
    Due(Loop& loop, Clock::duration after, State& state, Call call)
        : Timer(loop, Clock::now() + after), state_(state), call_(call) {}

   private:
    void expired() override { (state_.*call_)(); }
    State& state_;
    Call call_;
  };
  class FreeSlot;
  class Reply;

  // Requests
  AwaitedReply* find(std::uint64_t cookie) noexcept override;
  ConnectionSlot& begin(const Question& question) noexcept;
  Answer finish(ConnectionSlot& slot, ExtentList* list) noexcept;
  void hand_on_slots() noexcept;

  // Sending
  void turn_ended() noexcept override;
  void flush() noexcept;
  Task<void> send_when_writable();
  void say_goodbye() noexcept;

  // Receiving
  Task<void> receive();
  ssize_t receive_some() noexcept;
  // by reference: connection_pages.cpp
  bool receives_pages() const noexcept;
  ssize_t receive_pages(std::size_t bytes) noexcept;
  std::size_t read_ahead() const noexcept;
  void digest(std::span<const std::byte> input) noexcept;
  void answered(ConnectionSlot& slot) noexcept;
  void resume(ConnectionSlot& slot) noexcept;
  void stream_ended(ssize_t result);

  // Ending
  void lose(std::string reason);
  void announce_loss();
  void tick();
  bool has_stalled(const ConnectionSlot& slot, bool moving) const noexcept;
  void give_up_waiting();

  Loop& loop_;
  Stream& stream_;
  const ConnectionOptions options_;
  Scope scope_;

  std::vector<ConnectionSlot> slots_;
  ConnectionSlotList free_;
  std::uint64_t cookie_base_ = 0;      // random: a reply cannot be guessed before its request
  std::size_t in_flight_ = 0;          // slots in use
  std::uint64_t reads_in_flight_ = 0;  // bytes of READs among them
  std::uint64_t answers_ = 0;          // since the start
  FreeSlot* first_waiting_ = nullptr;  // for a slot
  FreeSlot* last_waiting_ = nullptr;
  std::size_t waiting_ = 0;

  ConnectionQueue queue_;
  Event blocked_;  // the stream is full: send_when_writable() has the word
  bool ending_ = false;

  ReplyDecoder decoder_;
  static constexpr std::size_t ahead_bytes = 64 * 1024;
  // A server that always has more must not keep the loop from its timers and messages.
  static constexpr unsigned receives_per_turn = 64;
  std::unique_ptr<std::array<std::byte, ahead_bytes>> ahead_;
  std::size_t ahead_used_ = 0;        // what the last receive put there
  std::uint64_t received_bytes_ = 0;  // since the start
  unsigned receives_ = 0;             // in this turn of the loop
  bool may_receive_ = false;          // there may be more without waiting
  Event receive_ended_;
  ArrivalPipe arrival_pipe_;  // holds data only while decoder_.data_rest() awaits the rest of it

  static constexpr int ticks_per_deadline = 8;
  std::optional<Due> watchdog_;
  std::uint64_t ticks_ = 0;
  std::array<std::uint64_t, ticks_per_deadline> moved_at_tick_{};  // bytes both ways, by then
  std::optional<Due> announcement_;
  Event announced_;
  std::optional<Due> patience_;  // of end()
  bool out_of_patience_ = false;
  bool goodbye_fits_ = false;  // the stream is in step at the loss
  bool server_ended_ = false;  // its end of the stream was seen
};

}  // namespace nbdring
