// ws: as an endpoint, against a server on this machine's TCP that follows a script: what is asked,
// what is shown as a credential and when, and that nothing is lost behind the answer.

#include "backends/websocket/endpoint.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>
#include <vector>

#include "backends/websocket/upgrade.hpp"
#include "client/runtime/error.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

std::string receive_head(int socket) {
  std::string head;
  std::array<char, 4096> piece;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const ssize_t bytes = ::recv(socket, piece.data(), piece.size(), 0);
    if (bytes <= 0) break;
    head.append(piece.data(), static_cast<std::size_t>(bytes));
  }
  return head;
}

void send_text(int socket, const std::string& text) {
  EXPECT_EQ(::send(socket, text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

std::string upgraded(const std::string& head, const HttpHeaders& more = {}) {
  const auto parsed = parse_request_head(std::as_bytes(std::span(head)));
  if (!std::holds_alternative<HttpRequest>(parsed)) return "no request: " + head;
  const auto checked = check_upgrade(std::get<HttpRequest>(parsed), {});
  if (!std::holds_alternative<UpgradeOk>(checked)) return "no upgrade: " + head;
  return upgrade_response(std::get<UpgradeOk>(checked), "", more);
}

class WebsocketEndpointTest : public testing::Test {
 protected:
  /// For the nth connection, with the head that it has sent.
  using Script = std::function<void(int socket, unsigned connection, const std::string& head)>;

  WebsocketEndpointTest() {
    std::string path = (std::filesystem::temp_directory_path() / "nbdring-ws.XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), raw, length), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener_.get(), raw, &length), 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  ~WebsocketEndpointTest() override {
    if (server_.joinable()) server_.join();
    std::filesystem::remove_all(folder_);
  }

  /// That many connections, one after the other; each stays open until all have been.
  void serve(unsigned connections, Script script) {
    server_ = std::thread([this, connections, script = std::move(script)] {
      std::vector<FileDescriptor> kept;
      for (unsigned i = 0; i < connections; ++i) {
        kept.emplace_back(::accept(listener_.get(), nullptr, nullptr));
        heads_.push_back(receive_head(kept.back().get()));
        script(kept.back().get(), i, heads_.back());
      }
      // Until the client has gone.
      std::array<char, 64> byte;
      while (::recv(kept.back().get(), byte.data(), byte.size(), 0) > 0) continue;
    });
  }
  std::unique_ptr<Endpoint> endpoint(const std::string& rest) {
    return make_websocket_endpoint(parse_uri("ws://127.0.0.1:" + port_ + rest), TlsSettings(),
                                   log_.log());
  }
  static Task<void> connect(Loop& loop, Endpoint& endpoint, milliseconds time,
                            std::unique_ptr<Stream>& stream) {
    stream = co_await endpoint.connect(loop, Clock::now() + time);
  }
  std::unique_ptr<Stream> connect(Endpoint& endpoint, milliseconds time = milliseconds(10'000)) {
    std::unique_ptr<Stream> stream;
    loop_.run(connect(loop_, endpoint, time, stream));
    return stream;
  }
  std::string failure(Endpoint& endpoint, FailureKind kind, milliseconds time) {
    try {
      connect(endpoint, time);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), kind) << failure.what();
      return failure.what();
    }
    return "none";
  }
  std::string write_token(const std::string& token) {
    const std::string path = folder_ + "/token";
    std::ofstream(path) << token << "\n";
    ::chmod(path.c_str(), 0600);
    return path;
  }
  std::string token() const {
    std::ifstream file(folder_ + "/token");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  std::string port_;
  FileDescriptor listener_;
  CapturedLog log_;
  Loop loop_;
  std::vector<std::string> heads_;  // after the server's end
  std::thread server_;
};

TEST_F(WebsocketEndpointTest, WhatComesBehindTheAnswerIsTheStreams) {
  serve(1, [](int socket, unsigned, const std::string& head) {
    send_text(socket, upgraded(head) + "\x82\x08NBDMAGIC");
  });
  const auto client = endpoint("/vm/0/0/?x=1&export=e");
  EXPECT_EQ(client->text(), "ws://127.0.0.1:" + port_ + "/vm/0/0/?x=1");
  EXPECT_TRUE(client->is_private());
  std::unique_ptr<Stream> stream = connect(*client);
  std::array<char, 64> bytes;
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
  ASSERT_EQ(stream->receive(buffer), 8);
  EXPECT_EQ(std::string(bytes.data(), 8), "NBDMAGIC");
  stream.reset();
  server_.join();
  EXPECT_TRUE(heads_[0].starts_with("GET /vm/0/0/?x=1 HTTP/1.1\r\nHost: 127.0.0.1:" + port_))
      << heads_[0];
  EXPECT_EQ(heads_[0].find("Authorization"), std::string::npos);
  EXPECT_EQ(heads_[0].find("Sec-WebSocket-Extensions"), std::string::npos);
  EXPECT_EQ(heads_[0].find("Origin"), std::string::npos);
}

TEST_F(WebsocketEndpointTest, AnAnswerThatDripsHasTheOneDeadline) {
  serve(1, [](int socket, unsigned, const std::string& head) {
    for (const char byte : upgraded(head)) {
      if (::send(socket, &byte, 1, MSG_NOSIGNAL) != 1) return;
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  const auto client = endpoint("/");
  EXPECT_EQ(failure(*client, FailureKind::unreachable, milliseconds(200)),
            "cannot open ws://127.0.0.1:" + port_ +
                "/: the server did not answer the request for a websocket in time");
}

TEST_F(WebsocketEndpointTest, ARefusalHasItsKind) {
  serve(1, [](int socket, unsigned, const std::string&) {
    send_text(socket, format_response(403, {{"Content-Length", "0"}}));
  });
  const auto client = endpoint("/");
  EXPECT_EQ(failure(*client, FailureKind::refused, milliseconds(10'000)),
            "cannot open ws://127.0.0.1:" + port_ +
                "/: access denied by the server (HTTP 403 'Forbidden')");
}

// Shown once, then the session; when that is forgotten, the successor, on a connection of its own.
TEST_F(WebsocketEndpointTest, ATokenIsShownOnceAndThenItsSuccessor) {
  serve(4, [this](int socket, unsigned connection, const std::string& head) {
    if (connection == 0) {
      send_text(socket, upgraded(head, {{"Nbdring-Next-Token", "b:2"}, {"Nbdring-Session", "k1"}}));
    } else if (connection == 1) {
      EXPECT_EQ(token(), "b:2\n");
      send_text(socket, upgraded(head));
    } else if (connection == 2) {
      send_text(socket, format_response(401, {}));
    } else {
      send_text(socket, upgraded(head, {{"Nbdring-Next-Token", "c:3"}, {"Nbdring-Session", "k2"}}));
    }
  });
  const auto client = endpoint("/?token-file=" + write_token("a:1"));
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(connect(*client));
  EXPECT_EQ(token(), "c:3\n");
  streams.clear();
  server_.join();
  ASSERT_EQ(heads_.size(), 4u);
  const std::array<std::string, 4> shown{
      "Authorization: Bearer a:1\r\n", "Sec-WebSocket-Protocol: nbd.session.k1\r\n",
      "Sec-WebSocket-Protocol: nbd.session.k1\r\n", "Authorization: Bearer b:2\r\n"};
  for (std::size_t i = 0; i < shown.size(); ++i) {
    EXPECT_NE(heads_[i].find(shown[i]), std::string::npos) << heads_[i];
    const bool has_both = heads_[i].find("Bearer") != std::string::npos &&
                          heads_[i].find("nbd.session") != std::string::npos;
    EXPECT_FALSE(has_both) << heads_[i];
  }
}

// Who waits for the turn while another is shown in comes in with that one's session.
TEST_F(WebsocketEndpointTest, SeveralAtOnceShowTheTokenOnce) {
  std::atomic<unsigned> tokens = 0;
  serve(4, [&tokens](int socket, unsigned, const std::string& head) {
    const bool shows_token = head.find("Bearer a:1") != std::string::npos;
    if (shows_token) ++tokens;
    if (shows_token) std::this_thread::sleep_for(milliseconds(50));
    HttpHeaders more;
    if (shows_token) more = {{"Nbdring-Next-Token", "b:2"}, {"Nbdring-Session", "k"}};
    const bool is_let_in = shows_token || head.find("nbd.session.k\r\n") != std::string::npos;
    send_text(socket, is_let_in ? upgraded(head, more) : format_response(403, {}));
  });
  const auto client = endpoint("/?token-file=" + write_token("a:1"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&client] {
      Loop loop;
      std::unique_ptr<Stream> stream;
      loop.run(connect(loop, *client, milliseconds(10'000), stream));
      EXPECT_NE(stream, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  server_.join();
  EXPECT_EQ(tokens, 1u);
  EXPECT_EQ(token(), "b:2\n");
}

TEST_F(WebsocketEndpointTest, ASuccessorThatIsNoneLeavesTheOldOne) {
  serve(1, [](int socket, unsigned, const std::string& head) {
    send_text(socket, upgraded(head, {{"Nbdring-Next-Token", "no token"}}));
  });
  const auto client = endpoint("/?token-file=" + write_token("a:1"));
  EXPECT_NE(failure(*client, FailureKind::unreachable, milliseconds(10'000)).find("malformed"),
            std::string::npos);
  EXPECT_EQ(token(), "a:1\n");
}

TEST_F(WebsocketEndpointTest, ATokenInClearIsWorthAWarning) {
  const std::string path = write_token("a:1");
  const auto local = endpoint("/?token-file=" + path);
  EXPECT_EQ(log_.text(), "");
  make_websocket_endpoint(parse_uri("ws://nas/?token-file=" + path), TlsSettings(), log_.log());
  EXPECT_NE(log_.text().find("the token is sent in clear"), std::string::npos) << log_.text();
  EXPECT_EQ(log_.text().find("a:1"), std::string::npos);
}

}  // namespace
}  // namespace nbdring
