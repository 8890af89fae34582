#pragma once
// What the listener asks of the gateway behind it: which configurations there are, and what becomes
// of a peer that was let in. The listener knows HTTP and websockets, the gateway sessions.
//
// Called on the listener's loop; nothing here may wait for a disk, a device or another thread's
// work.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>

#include "backends/websocket/authenticator.hpp"
#include "backends/websocket/http_head.hpp"
#include "backends/websocket/peers.hpp"

namespace nbdring {

class SessionHost {
 public:
  virtual ~SessionHost() = default;

  /// The name of the configuration that a websocket's path leads to; none: 404.
  virtual std::optional<std::string> configuration_at(const std::string& path) const = 0;

  /// POST /api/login, after the grant: the fields that describe the grant's configuration
  /// (configuration, path, read_only, connections, ...); session and next_token are added by the
  /// listener. 409 when another peer has the session.
  virtual std::variant<nlohmann::json, HttpError> describe(const Grant& grant) = 0;

  /// GET /api/session: how that session stands; none: 404.
  virtual std::optional<nlohmann::json> session_state(const std::string& key) = 0;

  /// Where this connection is to go. What Peers itself objects to (another image, a second
  /// connection of a peer that has a single one) the listener asks it.
  virtual std::variant<std::shared_ptr<Peers>, HttpError> admit(const Grant& grant,
                                                                const PeerInfo& info) = 0;
};

}  // namespace nbdring
