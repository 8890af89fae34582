#include "backends/websocket/upgrade.hpp"

#include <gtest/gtest.h>

#include <set>

#include "client/transport/tls_digest.hpp"

namespace nbdring {
namespace {

// RFC 6455, 1.3
const std::string rfc_key = "dGhlIHNhbXBsZSBub25jZQ==";
const std::string rfc_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

HttpRequest good_request() {
  HttpRequest request;
  request.method = "GET";
  request.target.path = "/chat";
  request.headers = {{"host", "server.example.com"},
                     {"upgrade", "websocket"},
                     {"connection", "keep-alive, Upgrade"},
                     {"sec-websocket-key", rfc_key},
                     {"sec-websocket-version", "13"}};
  return request;
}

HttpRequest with(const std::string& name, const std::string& value) {
  HttpRequest request = good_request();
  std::erase_if(request.headers, [&](const auto& header) { return header.name == name; });
  if (!value.empty()) request.headers.push_back({name, value});
  return request;
}

std::string verdict(const HttpRequest& request, const std::vector<std::string>& origins = {}) {
  const auto checked = check_upgrade(request, origins);
  if (const auto* error = std::get_if<HttpError>(&checked)) {
    return std::to_string(error->status) + " " + error->why;
  }
  return "ok";
}

TEST(Upgrade, TheRfcsExample) {
  EXPECT_EQ(websocket_accept(rfc_key), rfc_accept);
  const auto checked = check_upgrade(good_request(), {});
  ASSERT_TRUE(std::holds_alternative<UpgradeOk>(checked));
  const auto& ok = std::get<UpgradeOk>(checked);
  EXPECT_EQ(upgrade_response(ok, "chat", {{"Nbdring-Session", "k"}}),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " +
                rfc_accept + "\r\nSec-WebSocket-Protocol: chat\r\nNbdring-Session: k\r\n\r\n");
  EXPECT_EQ(upgrade_response(ok, "", {}).find("Protocol:"), std::string::npos);
}

TEST(Upgrade, WhatIsNoHandshakeIsRefused) {
  HttpRequest post = good_request();
  post.method = "POST";
  EXPECT_EQ(verdict(post), "405 a websocket begins with GET");
  const std::string no_upgrade = "400 the headers do not ask for an upgrade to websocket";
  EXPECT_EQ(verdict(with("upgrade", "")), no_upgrade);
  EXPECT_EQ(verdict(with("upgrade", "h2c")), no_upgrade);
  EXPECT_EQ(verdict(with("connection", "")), no_upgrade);
  EXPECT_EQ(verdict(with("connection", "close")), no_upgrade);
  EXPECT_EQ(verdict(with("upgrade", "h2c, WebSocket")), "ok");
  const std::string bad_key = "400 Sec-WebSocket-Key is not 16 bytes in base64";
  for (const std::string key : {"", "abc", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
                                "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25j Q==",
                                "dGhlIHNhbXBsZSBub25jZQQQ", "dGhlIHNhbXBsZSBub25j_Q=="}) {
    EXPECT_EQ(verdict(with("sec-websocket-key", key)), bad_key) << key;
  }
  HttpRequest body = good_request();
  body.body_bytes = 1;
  EXPECT_EQ(verdict(body), "400 a request for a websocket has no body");
}

TEST(Upgrade, OtherVersionsAreToldOurs) {
  for (const std::string version : {"", "8", "12", "14", "13, 8", "013"}) {
    const auto checked = check_upgrade(with("sec-websocket-version", version), {});
    ASSERT_TRUE(std::holds_alternative<HttpError>(checked)) << version;
    const auto& error = std::get<HttpError>(checked);
    EXPECT_EQ(error.status, 426u);
    EXPECT_EQ(find_header(error.headers, "Sec-WebSocket-Version"), "13");
  }
}

TEST(Upgrade, OnlyOurOwnPagesAndListedOnesComeIn) {
  const auto from = [](const std::string& host, const std::string& origin,
                       const std::vector<std::string>& origins = {}) {
    HttpRequest request = with("host", host);
    request.headers.push_back({"origin", origin});
    return verdict(request, origins);
  };
  EXPECT_EQ(from("h", "http://h"), "ok");
  EXPECT_EQ(from("h", "https://h"), "ok");
  EXPECT_EQ(from("H:80", "http://h"), "ok");
  EXPECT_EQ(from("h", "https://H:443"), "ok");
  EXPECT_EQ(from("h:8080", "http://h:8080"), "ok");
  EXPECT_EQ(from("[::1]:8080", "http://[::1]:8080"), "ok");
  EXPECT_EQ(from("[::1]", "http://[::1]"), "ok");
  const std::string refused = "403 pages of this origin may not come here";
  for (const std::string origin :
       {"http://h", "http://h:8081", "https://h:8080.evil", "http://evil", "http://evil:8080",
        "null", "", "h:8080", "file://h:8080", "http://h:8080/x", "http://u@h:8080",
        "http://h:8080@evil"}) {
    EXPECT_EQ(from("h:8080", origin), refused) << origin;
  }
  EXPECT_EQ(from("h:443", "http://h"), refused);
  const std::vector<std::string> listed{"https://console.example", "null"};
  EXPECT_EQ(from("h", "https://Console.example", listed), "ok");
  EXPECT_EQ(from("h", "null", listed), "ok");
  EXPECT_EQ(from("h", "http://console.example", listed), refused);
  EXPECT_EQ(from("h", "https://console.example.evil", listed), refused);
}

TEST(Upgrade, OfferedProtocols) {
  const auto checked = check_upgrade(with("sec-websocket-protocol", "nbd.token.a.b, c"), {});
  ASSERT_TRUE(std::holds_alternative<UpgradeOk>(checked));
  EXPECT_EQ(std::get<UpgradeOk>(checked).protocols,
            (std::vector<std::string>{"nbd.token.a.b", "c"}));
  EXPECT_EQ(verdict(with("sec-websocket-protocol", "a, a")), "400 a subprotocol is offered twice");
  EXPECT_EQ(verdict(with("sec-websocket-protocol", "a b")), "400 a subprotocol is no token");
  EXPECT_EQ(verdict(with("sec-websocket-protocol", "1,2,3,4,5,6,7,8")), "ok");
  EXPECT_EQ(verdict(with("sec-websocket-protocol", "1,2,3,4,5,6,7,8,9")),
            "400 more than 8 subprotocols are offered");
}

// What a client of ours asks is what a server of ours takes.
TEST(Upgrade, OurClientsRequestPasses) {
  UpgradeWish wish{"nas:8080", "/a%20b?x=1", make_websocket_key(), {"p", "q"}, {{"X", "y"}}};
  const std::string text = upgrade_request(wish);
  auto parsed = parse_request_head(std::as_bytes(std::span(text)));
  ASSERT_TRUE(std::holds_alternative<HttpRequest>(parsed));
  const auto& request = std::get<HttpRequest>(parsed);
  EXPECT_EQ(request.target.path, "/a b");
  EXPECT_EQ(find_header(request.headers, "x"), "y");
  const auto checked = check_upgrade(request, {});
  ASSERT_TRUE(std::holds_alternative<UpgradeOk>(checked));

  const std::string answer = upgrade_response(std::get<UpgradeOk>(checked), "q", {});
  const auto response = parse_response_head(std::as_bytes(std::span(answer)));
  ASSERT_TRUE(std::holds_alternative<HttpResponse>(response));
  const auto agreed = check_upgrade_response(std::get<HttpResponse>(response), wish);
  ASSERT_TRUE(std::holds_alternative<UpgradeAgreed>(agreed));
  EXPECT_EQ(std::get<UpgradeAgreed>(agreed).protocol, "q");
}

TEST(Upgrade, KeysAreNeverTheSame) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.insert(make_websocket_key());
  EXPECT_EQ(keys.size(), 100u);
  for (const std::string& key : keys) EXPECT_EQ(key.size(), 24u);
}

HttpResponse good_response() {
  return {
      101,
      "Switching Protocols",
      {{"upgrade", "WebSocket"}, {"connection", "upgrade"}, {"sec-websocket-accept", rfc_accept}},
      0};
}

UpgradeWish rfc_wish() { return {"server.example.com", "/chat", rfc_key, {"chat"}, {}}; }

std::string refusal(const HttpResponse& response, FailureKind kind = FailureKind::unreachable) {
  const auto checked = check_upgrade_response(response, rfc_wish());
  const auto* refused = std::get_if<UpgradeRefused>(&checked);
  if (refused == nullptr) return "agreed";
  EXPECT_EQ(refused->kind, kind) << refused->why;
  return refused->why;
}

TEST(Upgrade, AServersAnswerIsChecked) {
  EXPECT_EQ(refusal(good_response()), "agreed");
  HttpResponse response = good_response();
  response.headers[0].value = "h2c";
  EXPECT_EQ(refusal(response), "the server switches to another protocol than websocket");
  response = good_response();
  response.headers.erase(response.headers.begin() + 1);
  EXPECT_EQ(refusal(response), "the server switches to another protocol than websocket");
  response = good_response();
  response.headers[2].value[0] = 'S';
  EXPECT_EQ(refusal(response),
            "the server's answer does not belong to our key; it is no websocket server");
  response.headers.pop_back();
  EXPECT_NE(refusal(response), "agreed");
  response = good_response();
  response.headers.push_back({"sec-websocket-extensions", "permessage-deflate"});
  EXPECT_EQ(refusal(response),
            "the server uses an extension that was not offered: 'permessage-deflate'");
  response = good_response();
  response.headers.push_back({"sec-websocket-protocol", "mqtt"});
  EXPECT_EQ(refusal(response), "the server chose a subprotocol that was not offered: 'mqtt'");
  response.headers.back().value = "chat, chat";
  EXPECT_NE(refusal(response), "agreed");
}

TEST(Upgrade, ASuccessorAndASessionAreTakenAlong) {
  HttpResponse response = good_response();
  response.headers.push_back({"nbdring-next-token", "id:secret"});
  response.headers.push_back({"nbdring-session", "key"});
  const auto checked = check_upgrade_response(response, rfc_wish());
  ASSERT_TRUE(std::holds_alternative<UpgradeAgreed>(checked));
  EXPECT_EQ(std::get<UpgradeAgreed>(checked).next_token, "id:secret");
  EXPECT_EQ(std::get<UpgradeAgreed>(checked).session, "key");
}

TEST(Upgrade, EveryOtherStatusHasItsLine) {
  const auto answer = [](unsigned status, const std::string& reason) {
    return HttpResponse{status, reason, {}, 0};
  };
  EXPECT_EQ(refusal(answer(401, "Unauthorized"), FailureKind::refused),
            "access denied by the server (HTTP 401 'Unauthorized'); it wants a token: "
            "token-file=FILE");
  EXPECT_EQ(refusal(answer(403, "Forbidden"), FailureKind::refused),
            "access denied by the server (HTTP 403 'Forbidden')");
  EXPECT_EQ(refusal(answer(404, ""), FailureKind::not_found),
            "the server has nothing at this path (HTTP 404)");
  EXPECT_EQ(refusal(answer(409, "Conflict"), FailureKind::busy),
            "somebody else has it already (HTTP 409 'Conflict')");
  EXPECT_EQ(refusal(answer(200, "OK")), "this is no websocket endpoint (HTTP 200 'OK')");
  EXPECT_EQ(refusal(answer(426, "Upgrade Required")),
            "this is no websocket endpoint (HTTP 426 'Upgrade Required')");
  EXPECT_EQ(refusal(answer(503, "a\x1b[31m")), "the server cannot serve now (HTTP 503 'a?[31m')");
  HttpResponse moved = answer(302, "Found");
  moved.headers.push_back({"location", "wss://other/"});
  EXPECT_EQ(refusal(moved),
            "the server names another place (HTTP 302 'Found'): 'wss://other/'; redirections are "
            "not followed, name that place");
}

}  // namespace
}  // namespace nbdring
