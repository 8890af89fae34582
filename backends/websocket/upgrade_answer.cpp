// A client's look at what a server answered to its request for a websocket.

#include <algorithm>

#include "backends/websocket/upgrade.hpp"
#include "client/protocol/handshake_text.hpp"

namespace nbdring {
namespace {

constexpr std::size_t quoted_max = 100;  // of what a server says, in a line of ours

std::string quoted(std::string_view text) { return "'" + printable(text, quoted_max) + "'"; }

std::string status_text(const HttpResponse& response) {
  std::string text = "HTTP " + std::to_string(response.status);
  return response.reason.empty() ? text : text + " " + quoted(response.reason);
}

UpgradeRefused not_upgraded(const HttpResponse& response) {
  const std::string answer = status_text(response);
  switch (response.status) {
    case 401:
      return {FailureKind::refused,
              "access denied by the server (" + answer + "); it wants a token: token-file=FILE"};
    case 403:
      return {FailureKind::refused, "access denied by the server (" + answer + ")"};
    case 404:
    case 410:
      return {FailureKind::not_found, "the server has nothing at this path (" + answer + ")"};
    case 407:
      return {FailureKind::refused, "a proxy on the way wants to know who we are (" + answer + ")"};
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return {FailureKind::unreachable,
              "the server names another place (" + answer +
                  "): " + quoted(find_header(response.headers, "location").value_or("")) +
                  "; redirections are not followed, name that place"};
    case 409:
      return {FailureKind::busy, "somebody else has it already (" + answer + ")"};
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return {FailureKind::unreachable, "the server cannot serve now (" + answer + ")"};
    default:
      return {FailureKind::unreachable, "this is no websocket endpoint (" + answer + ")"};
  }
}

UpgradeRefused broken(std::string why) { return {FailureKind::unreachable, std::move(why)}; }

}  // namespace

std::variant<UpgradeAgreed, UpgradeRefused> check_upgrade_response(const HttpResponse& response,
                                                                   const UpgradeWish& wish) {
  if (response.status != 101) return not_upgraded(response);
  const HttpHeaders& headers = response.headers;
  if (!list_has(headers, "upgrade", "websocket") || !list_has(headers, "connection", "upgrade")) {
    return broken("the server switches to another protocol than websocket");
  }
  if (find_header(headers, "sec-websocket-accept") != websocket_accept(wish.key)) {
    return broken("the server's answer does not belong to our key; it is no websocket server");
  }
  const auto extensions = list_of(headers, "sec-websocket-extensions");
  if (!extensions.empty()) {
    return broken("the server uses an extension that was not offered: " + quoted(extensions[0]));
  }
  const auto protocols = list_of(headers, "sec-websocket-protocol");
  UpgradeAgreed agreed;
  if (!protocols.empty()) {
    const bool was_offered = std::find(wish.protocols.begin(), wish.protocols.end(),
                                       protocols[0]) != wish.protocols.end();
    if (protocols.size() > 1 || !was_offered) {
      return broken("the server chose a subprotocol that was not offered: " + quoted(protocols[0]));
    }
    agreed.protocol = protocols[0];
  }
  agreed.next_token = find_header(headers, "nbdring-next-token").value_or("");
  agreed.session = find_header(headers, "nbdring-session").value_or("");
  return agreed;
}

}  // namespace nbdring
