#pragma once
// Where a request carries what it has to show: the Authorization header ("Bearer id:secret",
// "Bearer-Session KEY"), or, because a browser cannot set headers of a websocket, a subprotocol
// ("nbd.token.ID.SECRET", "nbd.session.KEY"). Pure.

#include <span>
#include <string>

#include "backends/websocket/http_head.hpp"

namespace nbdring {

struct Credentials {
  std::string token;     // "id:secret"; empty: none
  std::string session;   // empty: none
  std::string protocol;  // the subprotocol that it came as: echoed to who is let in
};

/// The header counts before the subprotocols, of these the first. What is malformed is no
/// credential. protocols: that were offered with a websocket.
Credentials credentials_of(const HttpRequest& request, std::span<const std::string> protocols = {});

}  // namespace nbdring
