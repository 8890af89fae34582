#pragma once
// The gateway's front door: HTTP that serves the page, a login and websockets, on TCP, TLS and Unix
// sockets. Each connection is one request; a websocket that is let in leaves for its session
// (peers.hpp), everything else gets its answer and is closed.
//
//   head (bounded in time and size) -> route
//     GET, HEAD  a file of the page
//     POST       /api/login     who may have what, and what it is
//     GET        /api/session   how a session stands
//     GET        a configuration's path, Upgrade: websocket
//
// A websocket's way: handshake and Origin looked at (upgrade.hpp), the authenticator asked
// (authenticator.hpp), the session found (session_host.hpp), 101. A browser cannot set headers of a
// websocket, so a credential may come as a subprotocol: "nbd.session.KEY", "nbd.token.ID.SECRET".
//
// What a stranger can cost is bounded: connections in all and from one address (of IPv6: one /64),
// heads at once, bytes and time for a head and for an answer. Refusals are everyday life (info),
// failures are ours (error); of each kind only so many lines a minute are written.
//
// One coroutine per connection, on the listener's loop, which nothing blocks: authenticators run on
// threads of their own with a deadline (client/runtime/offload.hpp).

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/websocket/authenticator.hpp"
#include "backends/websocket/live_sessions.hpp"
#include "backends/websocket/session_host.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

struct ListenerOptions {
  std::size_t connections_max = 1024;             // websockets that are in use included
  std::size_t heads_max = 256;                    // that are no websockets of a session (yet)
  std::size_t connections_each = 64;              // from one address; Unix sockets have none
  std::chrono::milliseconds head_time{10'000};    // TLS handshake and head
  std::chrono::milliseconds answer_time{10'000};  // for the peer to take an answer
  std::chrono::milliseconds grant_time{10'000};   // for the authenticator
  std::vector<std::string> origins;  // of other sites' pages that may open websockets here
  WebsocketOptions websocket{.ping_interval = std::chrono::seconds(5),
                             .dead_after = std::chrono::seconds(15)};
  const TlsCredentials* tls = nullptr;  // outlive the listener; null: in the clear
};

class GatewayListener {
 public:
  /// All of them outlive it; the sessions (their detach() is called at each connection's end) also
  /// the backends whose connections came from here.
  GatewayListener(Loop& loop, const ListenerOptions& options, Authenticator& authenticator,
                  LiveSessions& sessions, SessionHost& host, Log& log);
  ~GatewayListener();
  GatewayListener(const GatewayListener&) = delete;
  GatewayListener& operator=(const GatewayListener&) = delete;

  /// Accepts until stop(). Spawn one per listening socket (TCP or Unix), which stays the caller's.
  Task<void> accept_on(int listener);
  /// One socket that is connected already.
  void serve_connected(FileDescriptor socket);

  /// Accepts no more and cuts off what has not gone over to a session. Those of sessions are ended
  /// by their Peers::close(), before. The loop's thread.
  void stop() noexcept;

  /// Ends when no connection is left on this loop. Once, after stop() and the ends of accept_on().
  Task<void> last_connection_gone();

  /// Connections that are here or in use by sessions. Any thread.
  std::size_t connections() const;

  FramePool& frames();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdring
