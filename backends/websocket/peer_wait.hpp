#pragma once
// A lane that waits for a connection, and how one is handed to it. For peers*.cpp.

#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "backends/websocket/peers.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

/// Lives in the frame of the coroutine that waits, on that one's loop. All but its making and
/// over() is under the lock of Peers.
class Peers::Wait final : private Message, private Timer {
 public:
  Wait(Peers& peers, Loop& loop, Clock::time_point deadline)
      : Timer(loop, deadline), peers_(peers), loop_(loop) {}

  Event::Wait over() { return over_.wait(); }

  /// A connection has been chosen and is on its way: now nothing else ends the wait.
  void promise() { is_promised_ = true; }
  /// There was none after all. True: it goes on waiting; else it is over.
  bool wait_on() {
    is_promised_ = false;
    if (!is_late_) return true;
    end();
    return false;
  }
  void give(std::unique_ptr<WebsocketStream> stream, PeerInfo info, std::vector<std::byte> early) {
    stream_ = std::move(stream);
    info_ = std::move(info);
    early_ = std::move(early);
    end();
  }
  void end() {
    if (!std::exchange(is_over_, true)) loop_.post(*this);
  }

  // After over(): what was given.
  std::unique_ptr<WebsocketStream> stream_;
  PeerInfo info_;
  std::vector<std::byte> early_;

 private:
  void deliver() noexcept override { over_.raise(); }
  void expired() override;

  Peers& peers_;
  Loop& loop_;
  Event over_;
  bool is_over_ = false;  // over() ends, or is about to
  bool is_promised_ = false;
  bool is_late_ = false;  // its time came while it was promised something
};

}  // namespace nbdring
