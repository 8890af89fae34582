#pragma once
// A connection that waits for a lane, on the listener's loop. For peers*.cpp.

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "backends/websocket/peer_stream.hpp"
#include "backends/websocket/peer_wait.hpp"

namespace nbdring {

/// Lives in the frame of offer().
class Peers::Arrival final : private Message {
 public:
  /// What a server says before we have spoken: 18 bytes, 152 in the old style. More is no NBD.
  static constexpr std::size_t early_max = 512;

  Arrival(Peers& peers, Loop& loop, std::unique_ptr<WebsocketStream> stream, PeerInfo info)
      : peers_(peers), loop_(loop), stream_(std::move(stream)), info_(std::move(info)) {}

  /// Until it is called away or has ended. Listens, so that an end is seen when it comes.
  Task<void> stay();

  WebsocketStream& stream() { return *stream_; }
  const PeerInfo& info() const { return info_; }
  bool has_ended() const { return has_ended_; }
  bool has_gone_over() const { return stream_ == nullptr; }
  FramePool& frames() { return loop_.frames(); }

  // Under the lock of Peers.
  bool is_free() const { return claim_ == nullptr && !is_dismissed_; }
  bool is_dismissed() const { return is_dismissed_; }
  void claim(Wait& wait) {
    claim_ = &wait;
    wait.promise();
    post();
  }
  void dismiss() {
    is_dismissed_ = true;
    post();
  }
  Wait* take_claim() { return std::exchange(claim_, nullptr); }
  void give_to(Wait& wait) {
    stream_->rest();
    wait.give(std::move(stream_), std::move(info_), std::move(early_));
  }
  /// Nothing of it is in its loop's inbox any more.
  void withdraw() {
    if (std::exchange(is_posted_, false)) loop_.withdraw(*this);
  }

 private:
  void post() {
    if (!std::exchange(is_posted_, true)) loop_.post(*this);
  }
  void deliver() noexcept override;
  bool is_called_away();
  ssize_t receive_early();

  Peers& peers_;
  Loop& loop_;
  std::unique_ptr<WebsocketStream> stream_;
  PeerInfo info_;
  std::vector<std::byte> early_;
  bool has_ended_ = false;

  Wait* claim_ = nullptr;  // these three under the lock of Peers
  bool is_dismissed_ = false;
  bool is_posted_ = false;
};

}  // namespace nbdring
