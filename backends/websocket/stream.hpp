#pragma once
// A websocket as a stream over a stream (RFC 6455): the bytes are the payload of binary messages.
// Where a message or a frame begins means nothing, so none is ever assembled.
//
// What happens by itself, while somebody uses the stream or not:
// - the peer's pings are answered (the latest only), and so is its close frame;
// - a peer that is silent for ping_interval gets a ping; one that stays silent for dead_after is
//   dead: receive() gives -ETIMEDOUT and every wait ends. Silent: nothing has come from it, and it
//   has taken nothing of what waited for it;
// - whatever breaks the protocol ends the stream with the right close code: -EPROTO.
//
// That goes on while nobody receives: the timer takes in what has arrived, as far as there is
// memory for it, and it is received later.
//
// One loop's thread. Nothing is allocated between the constructor and the end. Memory: 132 KiB, a
// client's end 260 KiB, whatever the peer does.
//
// From one loop to another: rest() on the old one's thread, then move_to() on the new one's. In
// between nobody pings.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backends/websocket/role.hpp"
#include "client/runtime/task.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

struct WebsocketOptions {
  std::chrono::milliseconds ping_interval{20'000};
  std::chrono::milliseconds dead_after{45'000};   // two pings without a sign of life
  std::chrono::milliseconds close_within{5'000};  // the peer's answer to our close frame
  unsigned control_frames_max = 100;  // pings and pongs in a second; more close with 1008
};

class WebsocketStream final : public Stream {
 public:
  /// Why and how it ended.
  struct Ending {
    bool by_peer = false;    // the peer said so first, or has gone; else: we did
    bool was_clean = false;  // a close frame came
    std::uint16_t code = 0;  // the close frame's; 1005: it had none; 1006: no close frame came.
                             // By us: what we said, or would have
    std::string reason;      // what came with the code; or, where nothing was said, what happened
  };
  using Watch = std::function<void(const Ending&)>;

  /// Owns the lower stream. early: what came behind the HTTP head, at most 64 KiB.
  WebsocketStream(Loop& loop, std::unique_ptr<Stream> lower, WebsocketRole role,
                  std::span<const std::byte> early = {}, const WebsocketOptions& options = {});
  /// Goes without a word unless shut_down() has said it.
  ~WebsocketStream() override;

  /// 0: after a close frame, or our own shut_down(). -ECONNRESET: the peer has gone without one;
  /// -ETIMEDOUT: it is dead; -EPROTO: it broke the protocol.
  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override;
  Operation writable() override;
  /// Says close, unless a frame is under way, and shuts the lower stream down.
  void shut_down() noexcept override;
  void move_to(Loop& loop) noexcept override;
  /// Says nothing unless a frame is cut short by it: a browser answers a close frame by itself,
  /// when its page may not have seen yet what came before. What runs inside has said that it leaves
  /// (NBD's DISC), and the peer's close frame tells that it has read that far. It is answered with
  /// the code of set_close().
  void end_sending() noexcept override;
  void reset() noexcept override;
  bool is_local() const noexcept override;

  /// Says close: nothing follows it. What the peer sends until its own close frame is received.
  /// Whoever wants the peer to hear the code for certain calls this and receives until the end.
  void say_close() noexcept;

  /// On the old loop's thread, before move_to(), when nobody waits: nothing of it is left on that
  /// loop. Until move_to() no other call is made.
  void rest() noexcept;

  /// Pings at once: a peer that gives no sign of life within that time is dead.
  void probe(Clock::duration within) noexcept;

  /// Says close and waits for the peer's, discarding what comes before it, until the deadline and
  /// at most for close_within; then shuts the lower stream down. For who has time to be polite;
  /// nobody receives or sends meanwhile.
  Task<void> close(Clock::time_point deadline);

  /// Since it has ended. Any thread.
  std::optional<Ending> ending() const;

  /// What shut_down(), say_close() and close() say; the default is 1000 without a reason. At most
  /// 123 bytes of a reason are sent.
  void set_close(std::uint16_t code, std::string_view reason);

  /// Told once, on the loop's thread, as soon as the stream has ended (within whatever call noticed
  /// it: it must not destroy the stream). Before the stream is used.
  void set_watch(Watch watch);

  FramePool& frames();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdring
