#pragma once
// The handshake of a websocket (RFC 6455, section 4), both sides, over heads that http_head.hpp has
// parsed. Pure functions: no I/O, no state, any thread.
//
// No extension is ever agreed on: compression costs more than it saves on disk images, and WebKit
// breaks connections over it.

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backends/websocket/http_head.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

/// Sec-WebSocket-Accept: shows that the server has read the key as a websocket's.
std::string websocket_accept(std::string_view key);

// The server's side.

/// Whether it names Upgrade: websocket, well or badly: then check_upgrade() has the answer.
bool asks_for_websocket(const HttpRequest& request);

/// Whether the page that asks is our own, of an allowed site, or no page at all.
bool may_come_from(const HttpRequest& request, std::span<const std::string> allowed_origins);

struct UpgradeOk {
  std::string accept;                  // for Sec-WebSocket-Accept
  std::vector<std::string> protocols;  // that were offered, each once, in their order
};

/// allowed_origins: "https://host[:port]" besides those whose host and port are the Host's own, or
/// "null" for pages without an origin. A request without Origin is no browser's and passes: a
/// browser always says it, and a page cannot change it. This keeps pages of other sites from
/// using their visitor's way to us; it does not say who somebody is.
///
/// 400 a malformed handshake, 403 another site's page, 405 not GET, 426 another version.
std::variant<UpgradeOk, HttpError> check_upgrade(const HttpRequest& request,
                                                 std::span<const std::string> allowed_origins);

/// The 101. protocol: one of those that were offered, or empty.
std::string upgrade_response(const UpgradeOk& ok, std::string_view protocol,
                             const HttpHeaders& more);

// The client's side.

struct UpgradeWish {
  std::string authority;  // the Host: "nas", "[::1]:8080"
  std::string target;     // path and query, encoded
  std::string key;        // of make_websocket_key(); another one each time
  std::vector<std::string> protocols = {};
  HttpHeaders more = {};  // Authorization and so on
};

/// 16 random bytes in base64.
std::string make_websocket_key();

std::string upgrade_request(const UpgradeWish& wish);

struct UpgradeAgreed {
  std::string protocol;    // one of those of the wish, or empty
  std::string next_token;  // Nbdring-Next-Token, or empty
  std::string session;     // Nbdring-Session, or empty
};

/// Why there is no websocket, for the user: one clause that begins with who did it.
struct UpgradeRefused {
  FailureKind kind = FailureKind::unreachable;  // refused for 401 and 403, not_found for 404, 410
  std::string why;
};

std::variant<UpgradeAgreed, UpgradeRefused> check_upgrade_response(const HttpResponse& response,
                                                                   const UpgradeWish& wish);

}  // namespace nbdring
