#pragma once
// Connections to a server that outlive the engine that made them.
//
// An engine that is killed leaves changes on their way: in its sockets' queues, in the network,
// with the server. With the engine its sockets would close, nobody could see when the server has
// done with them, and only time would help (RemoteOptions::fence_delay). So the keepsakes hold each
// connection as well. The next engine ends the sending side of what it finds and reads until the
// server closes: what was sent is done by then, or dropped. It is the proof that Connection::end
// has for a connection of one's own.
//
// In the keepsakes: connection-0 and so on. hold() and the end of a hold: any thread. The former
// engine's: one thread, in the order take_former(), see_former_end() or not, drop_former().

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "client/engine/keepsakes.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {

/// While it exists the connection is held; it ends when the connection has ended. Empty: it is not.
class ConnectionHold {
 public:
  ConnectionHold() = default;
  ConnectionHold(Keepsakes& keepsakes, std::string name)
      : keepsakes_(&keepsakes), name_(std::move(name)) {}
  ConnectionHold(ConnectionHold&& other) noexcept
      : keepsakes_(std::exchange(other.keepsakes_, nullptr)), name_(std::move(other.name_)) {}
  ConnectionHold& operator=(ConnectionHold&&) = delete;
  ~ConnectionHold() {
    if (keepsakes_ != nullptr) keepsakes_->drop(name_);
  }

  bool is_held() const { return keepsakes_ != nullptr; }

 private:
  Keepsakes* keepsakes_ = nullptr;
  std::string name_;
};

class KeptConnections {
 public:
  /// keepsakes: null, and nothing is ever held.
  explicit KeptConnections(Keepsakes* keepsakes) : keepsakes_(keepsakes) {}

  /// descriptor: a socket's; -1, and the hold is empty, as where nobody takes it.
  ConnectionHold hold(int descriptor) noexcept;

  /// What a dead engine left. Nothing more is sent on it from now on.
  void take_former();
  /// Until the server has closed all of it (true), or until then. Everything is read and dropped.
  Task<bool> see_former_end(Loop& loop, Clock::time_point until);
  /// What has not ended is reset.
  void drop_former() noexcept;

 private:
  struct Former {
    std::string name;
    FileDescriptor socket;
    bool has_ended = false;  // by the server
    std::array<std::byte, 16384> dropped;
  };

  Task<void> drain(Loop& loop, Former& former, SocketStream& stream);

  Keepsakes* keepsakes_;
  std::vector<std::unique_ptr<Former>> former_;
};

}  // namespace nbdring
