#include "backends/websocket/http_head.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nbdring {
namespace {

using Parsed = std::variant<HeadIncomplete, HttpRequest, HttpError>;

Parsed parse(const std::string& text, const HttpLimits& limits = {}) {
  return parse_request_head(std::as_bytes(std::span(text)), limits);
}

HttpRequest request(const std::string& text) {
  auto parsed = parse(text);
  if (const auto* error = std::get_if<HttpError>(&parsed)) ADD_FAILURE() << error->why;
  if (!std::holds_alternative<HttpRequest>(parsed)) return {};
  return std::get<HttpRequest>(std::move(parsed));
}

/// "STATUS why", or "taken", or "incomplete".
std::string verdict(const Parsed& parsed) {
  if (std::holds_alternative<HeadIncomplete>(parsed)) return "incomplete";
  if (std::holds_alternative<HttpRequest>(parsed)) return "taken";
  const auto& error = std::get<HttpError>(parsed);
  return std::to_string(error.status) + " " + error.why;
}

std::string with_line(const std::string& line) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + line + "\r\n\r\n";
}

std::string for_target(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

const std::string browser =
    "GET /vm/0/0/?image=a%2Bb+c&x HTTP/1.1\r\nHost: nas:8080\r\nUpgrade: websocket\r\n"
    "Connection: keep-alive, Upgrade\r\nOrigin: http://nas:8080\r\nX-Empty:\r\n"
    "Accept-Language:  de \r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n"
    "Content-Length: 3\r\n\r\n";

TEST(HttpHead, EverythingOfARequest) {
  const HttpRequest r = request(browser + "abc");
  EXPECT_EQ(r.method, "GET");
  EXPECT_EQ(r.target.path, "/vm/0/0/");
  EXPECT_EQ(r.target.parameter("image"), "a+b+c");
  EXPECT_EQ(r.target.parameter("x"), "");
  EXPECT_EQ(r.target.parameter("y"), std::nullopt);
  EXPECT_EQ(r.headers.size(), 9u);
  EXPECT_EQ(find_header(r.headers, "host"), "nas:8080");
  EXPECT_EQ(find_header(r.headers, "x-empty"), "");
  EXPECT_EQ(find_header(r.headers, "accept-language"), "de");
  EXPECT_EQ(find_header(r.headers, "accept"), std::nullopt);
  EXPECT_EQ(list_of(r.headers, "sec-websocket-protocol"),
            (std::vector<std::string_view>{"a", "b", "c"}));
  EXPECT_TRUE(list_has(r.headers, "connection", "upgrade"));
  EXPECT_FALSE(list_has(r.headers, "connection", "keep"));
  EXPECT_EQ(r.body_bytes, 3u);
  EXPECT_EQ(r.head_bytes, browser.size());
}

// Whoever receives it in pieces gets the same, and nothing before the last byte is there.
TEST(HttpHead, EveryPieceOfItIsIncomplete) {
  for (std::size_t bytes = 0; bytes < browser.size(); ++bytes) {
    EXPECT_EQ(verdict(parse(browser.substr(0, bytes))), "incomplete") << bytes;
  }
  EXPECT_EQ(verdict(parse(browser)), "taken");
  EXPECT_EQ(request(browser + browser).head_bytes, browser.size());
}

// What is refused as a whole is refused, or not complete, at every split; never taken.
TEST(HttpHead, WhatTwoReadersCouldTakeForTwoThingsIsRefused) {
  for (const std::string& head : std::vector<std::string>{
           with_line("Host: h"),
           with_line("HOST: other"),
           with_line("Content-Length: 1\r\nContent-Length: 1"),
           with_line("Content-Length: 1\r\nContent-Length: 2"),
           with_line("Content-Length: 1\r\nTransfer-Encoding: chunked"),
           with_line("Transfer-Encoding: chunked\r\nContent-Length: 1"),
           with_line("Transfer-Encoding: chunked"),
           with_line("Transfer-Encoding: identity"),
           with_line("Transfer-Encoding : chunked"),
           with_line("Content-Length: +1"),
           with_line("Content-Length: 0x1"),
           with_line("Content-Length: 1,1"),
           with_line("Content-Length: -1"),
           with_line("Content-Length:"),
           with_line("Content-Length: 18446744073709551617"),
           with_line("X: a\n"),
           with_line("X: a\nY: b"),
           with_line("X: a\rY: b"),
           with_line("X: a\r\n b"),
           with_line("X: a\r\n\tb"),
           with_line("X: a\vb"),
           with_line(std::string("X: a\0b", 6)),
           with_line("X : a"),
           with_line(" X: a"),
           with_line(": a"),
           with_line("X"),
           with_line("X(Y): a"),
           with_line("Authorization: a\r\nAuthorization: b"),
           with_line("Origin: a\r\nOrigin: b"),
           with_line("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b"),
           "\r\n" + with_line("X: a"),
           "GET / HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\r\nHost:\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
           "GET / HTTP/1.1\nHost: h\n\n",
           "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
           " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET /\r\n\r\n",
           "GET / http/1.1\r\nHost: h\r\n\r\n",
           "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
           "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
           "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
           "\x16\x03\x01\x02" + std::string(200, 'x') + "\r\n\r\n",
       }) {
    const std::string whole = verdict(parse(head));
    EXPECT_TRUE(whole.starts_with("4") || whole.starts_with("5")) << head << "\n" << whole;
    for (std::size_t bytes = 0; bytes < head.size(); ++bytes) {
      EXPECT_NE(verdict(parse(head.substr(0, bytes))), "taken") << head.substr(0, bytes);
    }
  }
}

TEST(HttpHead, StatusOfEachRefusal) {
  EXPECT_EQ(verdict(parse(with_line("Host: h"))), "400 the header host is there twice");
  EXPECT_EQ(verdict(parse("GET / HTTP/1.1\r\n\r\n")),
            "400 the header Host is missing or names no host");
  EXPECT_EQ(verdict(parse(with_line("Transfer-Encoding: chunked"))),
            "501 Transfer-Encoding is not supported");
  EXPECT_EQ(verdict(parse("GET / HTTP/1.0\r\nHost: h\r\n\r\n")),
            "505 only HTTP/1.1 is spoken here");
  EXPECT_EQ(verdict(parse("GET / HTTP/1.1\nHost: h")), "400 a line of the head ends with LF alone");
  EXPECT_EQ(verdict(parse(with_line("Content-Length: 4096"))), "taken");
  EXPECT_EQ(verdict(parse(with_line("Content-Length: 4097"))),
            "413 the body is longer than 4096 bytes");
}

TEST(HttpHead, LimitsHoldBeforeTheHeadIsComplete) {
  const std::string line = "GET / HTTP/1.1\r\nHost: h\r\n";
  const std::string end = "\r\n\r\n";
  const std::string filled =
      line + "X: " + std::string(8192 - line.size() - 3 - end.size(), 'x') + end;
  ASSERT_EQ(filled.size(), 8192u);
  EXPECT_EQ(verdict(parse(filled)), "taken");
  EXPECT_EQ(verdict(parse(filled + "more")), "taken");
  std::string longer = filled;
  longer.insert(line.size() + 3, "x");
  EXPECT_EQ(verdict(parse(longer.substr(0, 8191))), "incomplete");
  EXPECT_EQ(verdict(parse(longer.substr(0, 8192))), "431 the head is longer than 8192 bytes");
  EXPECT_EQ(verdict(parse(longer)), "431 the head is longer than 8192 bytes");
  EXPECT_EQ(verdict(parse("GET /" + std::string(8187, 'x'))),
            "414 the request's line is longer than 8192 bytes");

  std::string headers;
  for (int i = 0; i < 63; ++i) headers += "X" + std::to_string(i) + ": a\r\n";
  EXPECT_EQ(verdict(parse(line + headers + "\r\n")), "taken");
  EXPECT_EQ(verdict(parse(line + headers + "Y: b\r\n\r\n")), "431 more than 64 headers");
}

TEST(HttpHead, PathsAreDecodedOnceAndMeanOneThing) {
  EXPECT_EQ(request(for_target("/")).target.path, "/");
  EXPECT_EQ(request(for_target("/a%20b/%c3%a4%2526/")).target.path, "/a b/\xc3\xa4%26/");
  EXPECT_EQ(request(for_target("/a..b/...")).target.path, "/a..b/...");
  EXPECT_EQ(request(for_target("/?a=/../b&c=?")).target.parameter("a"), "/../b");
  for (const std::string target :
       {"/..",       "/../x",  "/a/../b", "/a/./b", "/.",    "/%2e%2e/x", "/.%2E",
        "/a%2fb",    "/a%5cb", "/a\\b",   "//",     "//h/x", "/a//b",     "/%00",
        "/%0d%0a",   "/%7f",   "/%",      "/%4",    "/%zz",  "/a#b",      "/\xc3\xa4",
        "http://h/", "h:80",   "*",       "x",      "/?%zz", "/?a=%00",   "/?a=1&a=2"}) {
    EXPECT_TRUE(verdict(parse(for_target(target))).starts_with("400 ")) << target;
  }
}

TEST(HttpHead, EveryTargetByteIsTakenOrRefused) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string head = for_target(std::string("/a") + static_cast<char>(byte) + "b");
    const std::string said = verdict(parse(head));
    const bool is_plain = byte > ' ' && byte <= '~' && byte != '#' && byte != '%' && byte != '\\';
    EXPECT_EQ(said == "taken", is_plain) << byte << " " << said;
  }
}

TEST(HttpHead, Responses) {
  const std::string head =
      "HTTP/1.1 404 Not  here\r\nContent-Length: 900000\r\nX: \xc3\xa4\r\n\r\n";
  auto parsed = parse_response_head(std::as_bytes(std::span(head)));
  ASSERT_TRUE(std::holds_alternative<HttpResponse>(parsed));
  const auto& response = std::get<HttpResponse>(parsed);
  EXPECT_EQ(response.status, 404u);
  EXPECT_EQ(response.reason, "Not  here");
  EXPECT_EQ(response.head_bytes, head.size());
  for (std::size_t bytes = 0; bytes < head.size(); ++bytes) {
    parsed = parse_response_head(std::as_bytes(std::span(head)).first(bytes));
    EXPECT_TRUE(std::holds_alternative<HeadIncomplete>(parsed)) << bytes;
  }
  for (const std::string bad :
       {"NBDMAGICIHAVEOPT\r\n\r\n", "HTTP/1.0 101 x\r\n\r\n", "HTTP/1.1 1 x\r\n\r\n",
        "SSH-2.0-x\r\n\r\n", "HTTP/1.1 101 x\nUpgrade: websocket\n\n"}) {
    parsed = parse_response_head(std::as_bytes(std::span(bad)));
    EXPECT_TRUE(std::holds_alternative<HttpError>(parsed)) << bad;
  }
}

TEST(HttpHead, NobodyWritesALineOfTheirOwn) {
  EXPECT_EQ(format_response(404, {{"X", "a\r\nY: b"}}),
            "HTTP/1.1 404 Not Found\r\nX: a  Y: b\r\n\r\n");
  EXPECT_EQ(format_request("GET", "/a\r\nb", {{"Host", "h"}}),
            "GET /a  b HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(reason_of(299), "Unknown");
}

TEST(HttpHead, ListsAndTokens) {
  const HttpHeaders headers{{"a", " x ,, y\t,"}, {"b", "z"}, {"a", "Z"}};
  EXPECT_EQ(list_of(headers, "a"), (std::vector<std::string_view>{"x", "y", "Z"}));
  EXPECT_TRUE(list_has(headers, "a", "z"));
  EXPECT_TRUE(is_http_token("nbd.token.0a.b-_"));
  EXPECT_FALSE(is_http_token("a:b"));
  EXPECT_FALSE(is_http_token(""));
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
}

}  // namespace
}  // namespace nbdring
