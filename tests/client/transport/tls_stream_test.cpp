// Bytes through TLS: whole, in order, in any pieces; key updates; the end. The far side is ours, or
// plain GnuTLS on a thread.

#include <gmock/gmock.h>
#include <gnutls/gnutls.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "tests/support/pattern.hpp"
#include "tests/support/tls_keys.hpp"
#include "tests/support/tls_pair.hpp"

namespace nbdring {
namespace {

constexpr std::string_view psk_line = "alice:00112233445566778899aabbccddeeff";

class TlsStreamTest : public testing::Test {
 protected:
  TlsStreamTest() {
    settings_.psk_file = keys_.write("keys.psk", psk_line);
    settings_.psk_user = "alice";
    client_keys_.emplace(TlsCredentials::Side::client, settings_);
    server_keys_.emplace(TlsCredentials::Side::server, settings_);
  }

  TlsKeys keys_;
  TlsSettings settings_;
  std::optional<TlsCredentials> client_keys_, server_keys_;
};

// Sends it as the lane does: a list of small and large buffers, from where the stream stopped.
Task<void> send_pattern(Scope&, Stream& stream, std::size_t bytes, std::uint64_t number) {
  std::vector<std::byte> data = pattern(number, 0, bytes);
  std::size_t sent = 0;
  while (sent < bytes) {
    std::vector<iovec> buffers;
    std::size_t length = 16;
    for (std::size_t at = sent; at < bytes && buffers.size() < 40; length = length * 5 % 60'001) {
      const std::size_t count = std::min(length, bytes - at);
      buffers.push_back({data.data() + at, count});
      at += count;
    }
    const ssize_t result = stream.send(buffers);
    if (result == -EAGAIN) {
      co_await stream.writable();
      continue;
    }
    ENSURE(result > 0);
    sent += static_cast<std::size_t>(result);
  }
}

Task<void> receive_pattern(Scope&, Stream& stream, std::size_t bytes, std::uint64_t number,
                           bool& matches) {
  std::vector<std::byte> data(bytes);
  std::size_t have = 0;
  while (have < bytes) {
    const std::size_t first = std::min<std::size_t>(bytes - have, 1 + have % 9'999);
    std::array<iovec, 2> buffers{iovec{data.data() + have, first},
                                 iovec{data.data() + have + first, bytes - have - first}};
    const ssize_t result = stream.receive(buffers);
    if (result == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    ENSURE(result > 0);
    have += static_cast<std::size_t>(result);
  }
  matches = matches_pattern(data, number, 0);
}

Task<void> both_ways(Scope& scope, TlsPair& pair, std::size_t bytes, std::array<bool, 2>& match) {
  scope.spawn(send_pattern(scope, pair.client, bytes, 1));
  scope.spawn(send_pattern(scope, pair.server, bytes, 2));
  scope.spawn(receive_pattern(scope, pair.server, bytes, 1, match[0]));
  scope.spawn(receive_pattern(scope, pair.client, bytes, 2, match[1]));
  co_await scope.join();
}

class TlsPiecesTest : public TlsStreamTest,
                      public testing::WithParamInterface<std::pair<std::size_t, std::size_t>> {};

TEST_P(TlsPiecesTest, CarriesBytesBothWays) {
  const auto [piece, bytes] = GetParam();
  TlsPair pair(*client_keys_, *server_keys_, piece);
  pair.shake_hands();
  ASSERT_FALSE(pair.client_failure) << pair.client_failure->what();
  ASSERT_FALSE(pair.server_failure) << pair.server_failure->what();
  std::array<bool, 2> match{};
  Scope scope(pair.loop.frames());
  pair.loop.run(both_ways(scope, pair, bytes, match));
  EXPECT_TRUE(match[0] && match[1]);
}

INSTANTIATE_TEST_SUITE_P(Pieces, TlsPiecesTest,
                         testing::Values(std::pair(1, 40'000), std::pair(2, 40'001),
                                         std::pair(5, 100'000), std::pair(1'000, 3'000'000),
                                         std::pair(16'406, 3'000'000),
                                         std::pair(SIZE_MAX, 40'000'000)));

ssize_t send_bytes(Stream& stream, std::span<const std::byte> bytes) {
  std::array<iovec, 1> buffer{iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
  return stream.send(buffer);
}

ssize_t receive_bytes(Stream& stream, std::span<std::byte> bytes) {
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
  return stream.receive(buffer);
}

TEST_F(TlsStreamTest, MovesManyRecordsWithOneCall) {
  TlsPair pair(*client_keys_, *server_keys_);
  pair.shake_hands();
  const auto data = pattern(3, 0, 100'000);  // seven records
  pair.client_pieces.sends = 0;
  ASSERT_EQ(send_bytes(pair.client, data), 100'000);
  EXPECT_EQ(pair.client_pieces.sends, 1U);
  std::vector<std::byte> got(200'000);
  pair.server_pieces.receives = 0;
  ASSERT_EQ(receive_bytes(pair.server, got), 100'000);
  EXPECT_EQ(pair.server_pieces.receives, 1U);
  EXPECT_TRUE(matches_pattern(std::span(got).first(100'000), 3, 0));
}

TEST_F(TlsStreamTest, ReportsBytesAsSentOnlyWhenTheyAreOut) {
  TlsPair pair(*client_keys_, *server_keys_);
  pair.shake_hands();
  const auto data = pattern(3, 0, 8'000'000);
  std::size_t sent = 0;
  ssize_t result = 0;
  while ((result = send_bytes(pair.client, std::span(data).subspan(sent))) > 0) {
    sent += static_cast<std::size_t>(result);
  }
  ASSERT_EQ(result, -EAGAIN);
  std::vector<std::byte> got(data.size());
  std::size_t have = 0;
  while ((result = receive_bytes(pair.server, std::span(got).subspan(have))) > 0) {
    have += static_cast<std::size_t>(result);
  }
  EXPECT_GE(have, sent) << "what was reported as sent has arrived";
  EXPECT_TRUE(matches_pattern(std::span(got).first(have), 3, 0));
}

Task<void> note_readable(Loop&, Stream& stream, int& events) {
  events = co_await stream.readable();
}

TEST_F(TlsStreamTest, IsReadableWhileItHoldsBytes) {
  TlsPair pair(*client_keys_, *server_keys_);
  pair.shake_hands();
  const auto data = pattern(3, 0, 40'000);
  ASSERT_EQ(send_bytes(pair.client, data), 40'000);
  std::vector<std::byte> got(40'000);
  std::size_t have = 0;
  while (have < got.size()) {
    int events = 0;
    pair.loop.run(note_readable(pair.loop, pair.server, events));
    EXPECT_EQ(events & POLLIN, POLLIN);
    const ssize_t result = receive_bytes(
        pair.server, std::span(got).subspan(have, std::min<std::size_t>(7'001, got.size() - have)));
    ASSERT_GT(result, 0);
    have += static_cast<std::size_t>(result);
  }
  EXPECT_TRUE(matches_pattern(got, 3, 0));
  EXPECT_EQ(receive_bytes(pair.server, got), -EAGAIN);
}

TEST_F(TlsStreamTest, TellsAGoodbyeFromACut) {
  std::array<std::byte, 100> bytes{};
  {
    TlsPair pair(*client_keys_, *server_keys_);
    pair.shake_hands();
    ASSERT_EQ(send_bytes(pair.client, bytes), 100);
    pair.client.shut_down();
    EXPECT_EQ(receive_bytes(pair.server, bytes), 100) << "what had arrived comes first";
    EXPECT_EQ(receive_bytes(pair.server, bytes), 0);
    EXPECT_EQ(receive_bytes(pair.server, bytes), 0);
    EXPECT_EQ(pair.server.why_ended(), "");
    EXPECT_EQ(receive_bytes(pair.client, bytes), 0) << "it ended the stream itself";
    int events = 0;
    pair.loop.run(note_readable(pair.loop, pair.server, events));
    EXPECT_NE(events, 0);
  }
  TlsPair pair(*client_keys_, *server_keys_);
  pair.shake_hands();
  ASSERT_EQ(send_bytes(pair.client, bytes), 100);
  pair.client_socket.shut_down();
  EXPECT_EQ(receive_bytes(pair.server, bytes), 100);
  EXPECT_EQ(receive_bytes(pair.server, bytes), -ECONNRESET);
  EXPECT_THAT(pair.server.why_ended(), testing::HasSubstr("without the end that TLS demands"));
}

TEST_F(TlsStreamTest, RefusesBytesThatSomebodyPutIn) {
  TlsPair pair(*client_keys_, *server_keys_);
  pair.shake_hands();
  std::array<std::byte, 100> forged{std::byte{23}, std::byte{3}, std::byte{3}, std::byte{0},
                                    std::byte{95}};
  ASSERT_EQ(send_bytes(pair.client_socket, forged), 100);
  EXPECT_EQ(receive_bytes(pair.server, forged), -EBADMSG);
  EXPECT_THAT(pair.server.why_ended(), testing::HasSubstr("no valid TLS"));
}

// Plain GnuTLS, blocking, as other programs use it.
class PlainPeer {
 public:
  using Body = std::function<void(gnutls_session_t)>;

  PlainPeer(int socket, Body body) : socket_(socket), body_(std::move(body)) {
    thread_ = std::thread([this] { run(); });
  }
  ~PlainPeer() { thread_.join(); }

 private:
  void run() {
    gnutls_psk_client_credentials_t key = nullptr;
    ENSURE(gnutls_psk_allocate_client_credentials(&key) == 0);
    const gnutls_datum_t hex{
        reinterpret_cast<unsigned char*>(const_cast<char*>(psk_line.data() + 6)), 32};
    ENSURE(gnutls_psk_set_client_credentials(key, "alice", &hex, GNUTLS_PSK_KEY_HEX) == 0);
    gnutls_session_t session = nullptr;
    ENSURE(gnutls_init(&session, GNUTLS_CLIENT) == 0);
    ENSURE(gnutls_priority_set_direct(session, "NORMAL:+ECDHE-PSK", nullptr) == 0);
    ENSURE(gnutls_credentials_set(session, GNUTLS_CRD_PSK, key) == 0);
    gnutls_transport_set_int(session, socket_);
    ENSURE(gnutls_handshake(session) == 0);
    body_(session);
    gnutls_deinit(session);
    gnutls_psk_free_client_credentials(key);
    ::shutdown(socket_, SHUT_RDWR);
  }

  int socket_;
  Body body_;
  std::thread thread_;
};

Task<void> echo(Loop&, TlsStream& stream, ssize_t& end) {
  co_await stream.shake_hands();
  std::array<std::byte, 5'000> bytes;
  for (;;) {
    end = receive_bytes(stream, bytes);
    if (end == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    if (end <= 0) co_return;
    std::span<const std::byte> rest = std::span(bytes).first(static_cast<std::size_t>(end));
    while (!rest.empty()) {
      const ssize_t sent = send_bytes(stream, rest);
      if (sent == -EAGAIN) {
        co_await stream.writable();
        continue;
      }
      ENSURE(sent > 0);
      rest = rest.subspan(static_cast<std::size_t>(sent));
    }
  }
}

class TlsWithPlainPeerTest : public TlsStreamTest {
 protected:
  ssize_t run_echo(const PlainPeer::Body& body) {
    SocketPair pair;
    Loop loop;
    SocketStream socket(loop, std::move(pair.near));
    TlsStream stream(loop, socket, *server_keys_);
    ssize_t end = 1;
    const PlainPeer peer(pair.far.get(), body);
    loop.run(echo(loop, stream, end));
    report_ = stream.report();
    return end;
  }

  TlsReport report_;
};

void expect_echo(gnutls_session_t session, std::uint64_t number) {
  const auto data = pattern(number, 0, 20'000);
  std::vector<std::byte> got(data.size());
  std::size_t sent = 0;
  while (sent < data.size()) {
    sent += static_cast<std::size_t>(
        gnutls_record_send(session, data.data() + sent, data.size() - sent));
  }
  for (std::size_t have = 0; have < got.size();) {
    const ssize_t bytes = gnutls_record_recv(session, got.data() + have, got.size() - have);
    if (bytes == GNUTLS_E_AGAIN) continue;  // it was a key update
    ASSERT_GT(bytes, 0) << gnutls_strerror(static_cast<int>(bytes));
    have += static_cast<std::size_t>(bytes);
  }
  EXPECT_TRUE(matches_pattern(got, number, 0));
}

TEST_F(TlsWithPlainPeerTest, SurvivesKeyUpdates) {
  const ssize_t end = run_echo([](gnutls_session_t session) {
    for (std::uint64_t number = 1; number <= 6; ++number) {
      expect_echo(session, number);
      EXPECT_EQ(gnutls_session_key_update(session, number % 2 == 0 ? GNUTLS_KU_PEER : 0), 0);
    }
    expect_echo(session, 9);
    gnutls_bye(session, GNUTLS_SHUT_WR);
  });
  EXPECT_EQ(end, 0);
  EXPECT_EQ(report_.peer, "alice");
  EXPECT_EQ(report_.version, "TLS1.3");
}

TEST_F(TlsWithPlainPeerTest, NoticesACut) {
  EXPECT_EQ(run_echo([](gnutls_session_t session) { expect_echo(session, 1); }), -ECONNRESET);
}

}  // namespace
}  // namespace nbdring
