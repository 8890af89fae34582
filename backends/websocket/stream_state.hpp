#pragma once
// What a WebsocketStream is made of: a half that receives, a half that sends, and here what they
// mean to each other: answers to control frames, the clock, the end. Only for
// backends/websocket/stream*.
//
// The clock. One timer ticks a few times in a ping's interval and compares counters, so the data
// path never asks for the time. A tick takes in what has arrived, unless somebody waits for just
// that: its bytes would be taken from under a wait that only the next ones would end.
//
// The end is noted once, by whoever sees it first; the atomic flag is what lets another thread read
// what was noted. Words about the end are the only memory that is allocated after the constructor.

#include <atomic>
#include <optional>
#include <string>

#include "backends/websocket/frame_receiver.hpp"
#include "backends/websocket/frame_sender.hpp"
#include "backends/websocket/stream.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

class WebsocketStream::State final : private websocket::ControlFrames {
 public:
  State(Loop& loop, std::unique_ptr<Stream> lower, WebsocketRole role,
        std::span<const std::byte> early, const WebsocketOptions& options);
  ~State() override;

  ssize_t receive(std::span<iovec> buffers) noexcept;
  ssize_t send(std::span<iovec> buffers) noexcept;
  Operation readable();
  Operation writable() { return lower_->writable(); }
  void shut_down() noexcept;
  void end_sending() noexcept;
  void say_close() noexcept;
  void reset() noexcept;
  bool is_local() const noexcept { return lower_->is_local(); }
  void rest() noexcept;
  void move_to(Loop& loop) noexcept;
  void probe(Clock::duration within) noexcept;
  Task<void> close(Clock::time_point deadline);
  std::optional<Ending> ending() const;
  void set_close(std::uint16_t code, std::string_view reason);
  void set_watch(Watch watch) { watch_ = std::move(watch); }
  FramePool& frames() { return loop_->frames(); }

 private:
  class Tick final : public Timer {
   public:
    Tick(Loop& loop, Clock::time_point when, State& state) : Timer(loop, when), state_(state) {}

   private:
    void expired() override { state_.tick(); }
    State& state_;
  };

  bool control_came(const websocket::FrameDecoder& decoder) noexcept override;
  bool is_flood() noexcept;
  void close_came(const websocket::CloseFrame& frame) noexcept;
  void violated(const websocket::Violation& violation) noexcept;
  void note_end() noexcept;
  void ended_below() noexcept;
  void end_with(int result, const Ending& ending) noexcept;
  void note(const Ending& ending) noexcept;
  void die(std::string_view why) noexcept;

  void tick() noexcept;
  void watch_peer(Clock::time_point now) noexcept;
  void note_signs(Clock::time_point now) noexcept;
  void heard() noexcept;
  bool is_overdue(Clock::time_point now) const noexcept;
  Clock::duration tick_interval() const noexcept;
  void arm(Clock::time_point now) noexcept;
  void limit_closing(Clock::time_point deadline) noexcept;

  Loop* loop_;
  const WebsocketOptions options_;
  std::unique_ptr<Stream> lower_;
  websocket::FrameReceiver receiver_;
  websocket::FrameSender sender_;
  std::uint16_t close_code_ = websocket::close_normal;
  std::string close_reason_;
  bool leaves_ = false;  // what follows from us is at most our close frame, as the answer
  Watch watch_;

  std::optional<Tick> timer_;
  bool is_awaited_ = false;          // readable() was called, and receive() not since
  std::uint64_t signs_seen_ = 0;     // of life
  Clock::time_point looked_at_;      // when they were last compared
  Clock::duration quiet_{};          // without one
  Clock::duration quiet_at_ping_{};  // by the last ping
  std::optional<Clock::time_point> probe_until_;
  std::optional<Clock::time_point> close_until_;  // the peer's answer, or our owner's
  Clock::time_point second_began_{};              // that control frames are counted in
  unsigned control_frames_ = 0;

  bool is_shut_down_ = false;  // by us
  bool has_ended_ = false;     // nothing more is received from below
  int result_ = 0;             // of receive() then
  std::atomic<bool> is_noted_{false};
  Ending ending_;
};

}  // namespace nbdring
