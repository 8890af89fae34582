#pragma once
// Ordered bytes both ways: a socket, TLS over it, a websocket. The engine and the protocol know
// only this.
//
// receive() and send() never wait. Who gets -EAGAIN awaits readable() or writable() and tries
// again; so a stream over a stream needs no coroutine of its own. One task receives, one sends,
// both on the loop's thread. shut_down() of a socket may be called by any thread, that of a stream
// over another only by the loop's.

#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <span>

#include "client/runtime/operation.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class Stream {
 public:
  virtual ~Stream() = default;

  /// Fills the buffers in their order with what is there. Bytes, 0 at the end of the stream,
  /// -EAGAIN, or -errno.
  virtual ssize_t receive(std::span<iovec> buffers) noexcept = 0;

  /// Sends what fits. Bytes, -EAGAIN, or -errno. After -EAGAIN the next call begins with the same
  /// bytes (more may follow them): a stream that encrypts may hold them already, and reports them
  /// when they are out.
  virtual ssize_t send(std::span<iovec> buffers) noexcept = 0;

  /// Ends at once while the stream itself holds received bytes.
  virtual Operation readable() = 0;
  virtual Operation writable() = 0;

  /// Ends both directions: waits end, receive() returns 0 once what had arrived is taken.
  virtual void shut_down() noexcept = 0;

  /// From here on the stream waits on this loop. Nobody waits on it and nothing is under way;
  /// called on the new loop's thread, and the caller orders it after the old one's last use.
  virtual void move_to(Loop& loop) noexcept = 0;

  // What a socket can, and a stream over another leaves to that one.

  /// Makes ready for send_from_pipe(). False: this stream cannot. Before the first use.
  virtual bool takes_pages() noexcept { return false; }
  /// As send(), of the next bytes that are in the pipe, at most that many, by reference to the
  /// pages there. The pipe holds them all.
  virtual ssize_t send_from_pipe(int /*pipe*/, std::size_t /*bytes*/) noexcept {
    return -EOPNOTSUPP;
  }

  /// Makes ready for receive_to_pipe(). False: this stream cannot. Before the first use.
  virtual bool gives_pages() noexcept { return false; }
  /// As receive(), at most that many bytes, into a pipe, by reference to the pages that hold them.
  /// -EAGAIN: nothing is there, or the pipe is full.
  virtual ssize_t receive_to_pipe(int /*pipe*/, std::size_t /*bytes*/) noexcept {
    return -EOPNOTSUPP;
  }

  /// Tells the peer that nothing more will be sent; it can still be listened to.
  virtual void end_sending() noexcept {}
  /// Ends both directions and drops what is still queued on our side, as far as the kind of socket
  /// can: the peer sees a reset.
  virtual void reset() noexcept {}
  /// What waits in readable() and writable() ends its wait. The loop's thread.
  virtual void stop_waiting() noexcept {}
  /// Whether the peer has shut the stream down, although what it sent before may still be there.
  virtual bool peer_has_ended() const noexcept { return false; }
  /// Nothing stands between us and the peer: only the peer's own end resets the stream.
  virtual bool is_local() const noexcept { return false; }
  /// The socket, still the stream's: for its options and addresses, and for whoever holds it too.
  /// -1: there is none, or more than one.
  virtual int descriptor() const noexcept { return -1; }
};

/// Shuts a stream down when its time has come, which ends whatever waits for the peer.
class StreamDeadline final : public Timer {
 public:
  StreamDeadline(Loop& loop, Clock::duration after, Stream& stream)
      : Timer(loop, Clock::now() + after), stream_(stream) {}

 private:
  void expired() override { stream_.shut_down(); }

  Stream& stream_;
};

}  // namespace nbdring
