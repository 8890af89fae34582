// The gateway's front door with TLS from the first byte (https, wss).

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "backends/websocket/tls_socket.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/listener_fixture.hpp"
#include "tests/support/tls_keys.hpp"

namespace nbdring {
namespace {

const char* const key = "alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

class ListenerTlsTest : public ListenerTest {
 protected:
  ListenerTlsTest() { options_.tls = &server_keys_; }
  ~ListenerTlsTest() override { stop(); }

  static TlsSettings settings(const TlsKeys& files, const std::string& name,
                              std::string_view text) {
    TlsSettings settings;
    settings.policy = TlsPolicy::require;
    settings.psk_file = files.write(name, text);
    settings.psk_user = "alice";
    return settings;
  }
  static Task<void> converse(Loop& loop, TlsSocket& stream, const std::string& request,
                             std::string& answer) {
    co_await stream.shake_hands();
    const bool was_sent = co_await send_all(loop, stream, std::as_bytes(std::span(request)));
    EXPECT_TRUE(was_sent);
    std::array<char, 4096> bytes;
    for (;;) {
      std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
      const ssize_t received = stream.receive(buffer);
      if (received == -EAGAIN) {
        co_await stream.readable();
        continue;
      }
      if (received <= 0) break;
      answer.append(bytes.data(), static_cast<std::size_t>(received));
    }
  }
  HttpReply ask_with(const TlsCredentials& keys, const std::string& request) {
    Loop loop;
    TlsSocket stream(loop, std::make_unique<SocketStream>(loop, connect()), keys);
    std::string answer;
    loop.run(converse(loop, stream, request, answer));
    return reply_of(answer);
  }

  TlsKeys files_;
  TlsCredentials server_keys_{TlsCredentials::Side::server, settings(files_, "keys", key)};
  TlsCredentials client_keys_{TlsCredentials::Side::client, settings(files_, "own", key)};
};

TEST_F(ListenerTlsTest, AnswersAndTellsTheAuthenticatorWhoIsThere) {
  start();
  const HttpReply page = ask_with(client_keys_, "GET / HTTP/1.1\r\nHost: nas\r\n\r\n");
  EXPECT_EQ(page.status, 200U);
  EXPECT_FALSE(page.body.empty());
  const HttpReply login =
      ask_with(client_keys_, "POST /api/login HTTP/1.1\r\nHost: nas\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(login.status, 401U);
  EXPECT_TRUE(authenticator_.last.is_encrypted);
  EXPECT_EQ(authenticator_.last.tls.peer, "alice");
}

TEST_F(ListenerTlsTest, AWrongKeyIsALineAndNoMore) {
  start();
  const TlsCredentials wrong(TlsCredentials::Side::client,
                             settings(files_, "wrong", "alice:ffffffffffffffffffffffffffffffff\n"));
  EXPECT_THROW(ask_with(wrong, "GET / HTTP/1.1\r\nHost: nas\r\n\r\n"), Failure);
  EXPECT_TRUE(
      eventually([&] { return log_.text().find("a TLS handshake failed") != std::string::npos; }));
  EXPECT_EQ(ask_with(client_keys_, "GET / HTTP/1.1\r\nHost: nas\r\n\r\n").status, 200U);
}

TEST_F(ListenerTlsTest, WhoSpeaksInClearOrNotAtAllIsGivenUp) {
  options_.head_time = std::chrono::milliseconds(200);
  start();
  EXPECT_EQ(get("/").status, 0U);
  const FileDescriptor silent = connect();
  receive_all(silent.get());
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 0; }));
}

}  // namespace
}  // namespace nbdring
