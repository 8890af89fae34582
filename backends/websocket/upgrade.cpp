#include "backends/websocket/upgrade.hpp"

#include <algorithm>
#include <array>

#include "client/transport/tls_digest.hpp"

namespace nbdring {
namespace {

constexpr std::size_t key_bytes = 16;
constexpr std::size_t protocols_max = 8;

// Base64 of 16 bytes: 22 digits, the last with four bits of 0, and "==".
bool is_websocket_key(std::string_view key) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return key.size() == 24 && key.ends_with("==") &&
         key.substr(0, 22).find_first_not_of(digits) == std::string_view::npos &&
         std::string_view("AQgw").find(key[21]) != std::string_view::npos;
}

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Of "http://host[:port]" host and port, without the port that the scheme has anyhow.
struct Authority {
  std::string host;
  std::string port;  // empty: the scheme's

  friend bool operator==(const Authority&, const Authority&) = default;
};

Authority authority_of(std::string_view text, std::string_view scheme) {
  Authority authority;
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  authority.host = lowered(text.substr(0, has_port ? colon : text.size()));
  if (has_port) authority.port = text.substr(colon + 1);
  if (authority.port == (scheme == "https" ? "443" : "80")) authority.port.clear();
  return authority;
}

// A browser says host and port the same way in both, so that equal texts are the same site.
bool is_same_site(std::string_view origin, std::string_view host) {
  const std::size_t mark = origin.find("://");
  if (mark == std::string_view::npos) return false;
  const std::string scheme = lowered(origin.substr(0, mark));
  if (scheme != "http" && scheme != "https") return false;
  return authority_of(origin.substr(mark + 3), scheme) == authority_of(host, scheme);
}

HttpError bad(std::string why) { return {400, std::move(why), {}}; }

std::optional<HttpError> take_protocols(const HttpRequest& request, UpgradeOk& ok) {
  for (const std::string_view protocol : list_of(request.headers, "sec-websocket-protocol")) {
    if (!is_http_token(protocol)) return bad("a subprotocol is no token");
    if (std::find(ok.protocols.begin(), ok.protocols.end(), protocol) != ok.protocols.end()) {
      return bad("a subprotocol is offered twice");
    }
    if (ok.protocols.size() == protocols_max) {
      return bad("more than " + std::to_string(protocols_max) + " subprotocols are offered");
    }
    ok.protocols.emplace_back(protocol);
  }
  return std::nullopt;
}

}  // namespace

bool may_come_from(const HttpRequest& request, std::span<const std::string> allowed) {
  const auto origin = find_header(request.headers, "origin");
  if (!origin) return true;
  if (is_same_site(*origin, find_header(request.headers, "host").value_or(""))) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&origin](const std::string& one) {
    return equals_ignoring_case(one, *origin);
  });
}

std::string websocket_accept(std::string_view key) {
  return sha1_base64(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
}

bool asks_for_websocket(const HttpRequest& request) {
  return list_has(request.headers, "upgrade", "websocket");
}

std::variant<UpgradeOk, HttpError> check_upgrade(const HttpRequest& request,
                                                 std::span<const std::string> allowed_origins) {
  const HttpHeaders& headers = request.headers;
  if (request.method != "GET") {
    return HttpError{405, "a websocket begins with GET", {{"Allow", "GET"}}};
  }
  if (!asks_for_websocket(request) || !list_has(headers, "connection", "upgrade")) {
    return bad("the headers do not ask for an upgrade to websocket");
  }
  if (find_header(headers, "sec-websocket-version") != "13") {
    return HttpError{426,
                     "only version 13 of the websocket protocol is spoken here",
                     {{"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}}};
  }
  const auto key = find_header(headers, "sec-websocket-key");
  if (!key || !is_websocket_key(*key)) return bad("Sec-WebSocket-Key is not 16 bytes in base64");
  if (request.body_bytes > 0) return bad("a request for a websocket has no body");
  if (!may_come_from(request, allowed_origins)) {
    return HttpError{403, "pages of this origin may not come here", {}};
  }
  UpgradeOk ok;
  if (auto error = take_protocols(request, ok)) return std::move(*error);
  ok.accept = websocket_accept(*key);
  return ok;
}

std::string upgrade_response(const UpgradeOk& ok, std::string_view protocol,
                             const HttpHeaders& more) {
  HttpHeaders headers{
      {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", ok.accept}};
  if (!protocol.empty()) headers.push_back({"Sec-WebSocket-Protocol", std::string(protocol)});
  headers.insert(headers.end(), more.begin(), more.end());
  return format_response(101, headers);
}

std::string make_websocket_key() {
  std::array<std::byte, key_bytes> bytes;
  fill_unpredictable(bytes);
  return to_base64(bytes);
}

std::string upgrade_request(const UpgradeWish& wish) {
  HttpHeaders headers{{"Host", wish.authority},
                      {"Upgrade", "websocket"},
                      {"Connection", "Upgrade"},
                      {"Sec-WebSocket-Key", wish.key},
                      {"Sec-WebSocket-Version", "13"}};
  std::string protocols;
  for (const std::string& protocol : wish.protocols) {
    protocols.append(protocols.empty() ? "" : ", ").append(protocol);
  }
  if (!protocols.empty()) headers.push_back({"Sec-WebSocket-Protocol", protocols});
  headers.insert(headers.end(), wish.more.begin(), wish.more.end());
  return format_request("GET", wish.target, headers);
}

}  // namespace nbdring
