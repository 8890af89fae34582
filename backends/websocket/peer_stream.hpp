#pragma once
// A connection in use: a websocket from its going over to a lane until its end. It is the websocket
// but for two things: it begins with what the peer sent while it waited, and Peers knows of it.

#include <memory>
#include <vector>

#include "backends/websocket/peers.hpp"

namespace nbdring {

class PeerStream final : public Stream, private Message {
 public:
  /// On the loop's thread; the stream rests. early: what it received before.
  PeerStream(std::shared_ptr<Peers> peers, Loop& loop, std::unique_ptr<WebsocketStream> stream,
             PeerInfo info, std::vector<std::byte> early);
  ~PeerStream() override;
  PeerStream(const PeerStream&) = delete;
  PeerStream& operator=(const PeerStream&) = delete;

  bool is_private() const { return info_.is_private; }

  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override { return stream_->send(buffers); }
  Operation readable() override;
  Operation writable() override { return stream_->writable(); }
  void shut_down() noexcept override;
  void end_sending() noexcept override;
  void reset() noexcept override;
  /// It stays on the loop that it was taken for.
  void move_to(Loop& loop) noexcept override;
  bool is_local() const noexcept override { return stream_->is_local(); }

 private:
  friend class Peers;

  // Under the lock of Peers; any thread.
  void ask_to_answer();
  void ask_to_close();
  void post();

  void deliver() noexcept override;
  std::size_t take_early(std::span<iovec> buffers) noexcept;
  void ends_by_us() noexcept;
  void ended(ssize_t result) noexcept;

  const std::shared_ptr<Peers> peers_;
  Loop& loop_;
  const std::unique_ptr<WebsocketStream> stream_;
  PeerInfo info_;
  std::vector<std::byte> early_;
  std::size_t early_taken_ = 0;
  bool was_heard_ = false;
  bool has_ended_ = false;
  bool by_us_ = false;  // we have begun to end it

  bool is_posted_ = false;  // these three under the lock of Peers
  bool must_answer_ = false;
  bool must_close_ = false;
};

/// A close frame that means: it is over, do not wait for me.
bool is_eject(const std::optional<WebsocketStream::Ending>& ending);

}  // namespace nbdring
