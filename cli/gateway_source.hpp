#pragma once
// Where a session of a gateway has its bytes from: websockets of a peer that may leave and return
// (Peers), or the one connection of `nbdring proxy`.

#include <cstdint>
#include <memory>
#include <string>

#include "backends/nbd/endpoint.hpp"
#include "backends/websocket/peers.hpp"

namespace nbdring {

/// The words that a session's end has for the peer, as a websocket's close frame says them.
struct Farewell {
  static constexpr std::uint16_t not_needed = 1000;
  static constexpr std::uint16_t going_away = 1001;  // the gateway ends: come back
  static constexpr std::uint16_t detached = 4000;    // the session is over: do not come back
  static constexpr std::uint16_t failed = 4001;      // the same, and why

  std::uint16_t code = detached;
  std::string reason = "detached";
};

/// Any thread, but for endpoint().
class SessionSource {
 public:
  virtual ~SessionSource() = default;

  /// What the session's remote backend takes its connections from. Once.
  virtual std::unique_ptr<Endpoint> endpoint() = 0;
  virtual PeersStanding standing() const = 0;
  /// Told when standing() has changed. Null: nobody, from here on.
  virtual void set_watch(Peers::Watch* watch) = 0;
  /// The server has no CAN_MULTI_CONN.
  virtual void set_single() = 0;
  /// What the ends of connections say from here on.
  virtual void set_farewell(const Farewell& farewell) = 0;
  /// Ends all that waits for the peer, and all connections.
  virtual void close(const Farewell& farewell) = 0;
};

/// Over websockets.
std::unique_ptr<SessionSource> make_peer_source(std::shared_ptr<Peers> peers);

/// Over the two descriptors, once: their end is an eject.
std::unique_ptr<SessionSource> make_pipe_source(FileDescriptor input, FileDescriptor output);

}  // namespace nbdring
