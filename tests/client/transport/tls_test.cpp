// Who lets whom in, and what the one who does not says about it.

#include "client/transport/tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/support/tls_keys.hpp"
#include "tests/support/tls_pair.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;
using Side = TlsCredentials::Side;

// Made once: certtool takes a while.
class Authorities : public TlsKeys {
 public:
  Authorities() {
    make_authority("pki", "Our CA");
    make_authority("other", "Another CA");
    make_certificate("pki", "server", "pki",
                     "cn=nas\ndns_name=nas\nip_address=192.0.2.1\ntls_www_server\n");
    make_certificate("pki", "client", "pki", "cn=alice\ntls_www_client\n");
    make_certificate("other", "client", "other", "cn=mallory\ntls_www_client\n");
    make_certificate("swapped", "server", "pki", "cn=nas\ndns_name=nas\ntls_www_client\n");
    copy("pki/ca-cert.pem", "swapped/ca-cert.pem");
    make_folder("anonymous");
    copy("pki/ca-cert.pem", "anonymous/ca-cert.pem");
    make_revoking("revoking", "server");
    make_revoking("client-revoked", "client");
    write("keys.psk", "alice:00112233445566778899aabbccddeeff\n");
    write("wrong.psk", "alice:ffffffffffffffffffffffffffffffff\nbob:00\n");
  }

 private:
  void make_revoking(const std::string& folder, const std::string& stem) const {
    make_folder(folder);
    for (const char* name : {"ca-cert.pem", "ca-key.pem", "server-cert.pem", "server-key.pem",
                             "client-cert.pem", "client-key.pem"}) {
      copy("pki/" + std::string(name), folder + "/" + std::string(name));
    }
    revoke(folder, stem);
  }
};

class TlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { authorities_ = new Authorities; }
  static void TearDownTestSuite() { delete std::exchange(authorities_, nullptr); }

  static TlsSettings psk(const char* file, const char* user = "alice") {
    TlsSettings settings;
    settings.psk_file = authorities_->path(file);
    settings.psk_user = user;
    return settings;
  }
  static TlsSettings x509(const char* folder, const char* hostname = "nas") {
    TlsSettings settings;
    settings.certificates = authorities_->path(folder);
    settings.hostname = hostname;
    return settings;
  }
  static TlsSettings lenient(TlsSettings settings) {
    settings.verify_peer = false;
    return settings;
  }

  void shake(const TlsSettings& client, const TlsSettings& server) {
    pair_.reset();
    client_keys_.emplace(Side::client, client);
    server_keys_.emplace(Side::server, server);
    pair_.emplace(*client_keys_, *server_keys_);
    pair_->shake_hands();
  }
  std::string client_says() const {
    return pair_->client_failure ? pair_->client_failure->what() : "connected";
  }
  std::string server_says() const {
    return pair_->server_failure ? pair_->server_failure->what() : "connected";
  }
  void expect_client_refuses(const std::string& text) const {
    EXPECT_THAT(client_says(), HasSubstr(text));
    ASSERT_TRUE(pair_->client_failure);
    EXPECT_EQ(pair_->client_failure->kind(), FailureKind::refused);
  }

  static Authorities* authorities_;
  std::optional<TlsCredentials> client_keys_, server_keys_;
  std::optional<TlsPair> pair_;
};

Authorities* TlsTest::authorities_ = nullptr;

TEST_F(TlsTest, AgreesOnAKey) {
  shake(psk("keys.psk"), psk("keys.psk"));
  ASSERT_EQ(client_says(), "connected");
  ASSERT_EQ(server_says(), "connected");
  for (TlsStream* side : {&pair_->client, &pair_->server}) {
    const TlsReport report = side->report();
    EXPECT_EQ(report.version, "TLS1.3");
    EXPECT_EQ(report.exchange, "ECDHE-PSK");
    EXPECT_EQ(report.peer, "alice");
    EXPECT_THAT(report.cipher, testing::AnyOf("AES-128-GCM", "CHACHA20-POLY1305"));
  }
}

TEST_F(TlsTest, TakesSingleFilesInsteadOfAFolder) {
  TlsSettings client;
  client.hostname = "nas";
  client.authorities_file = authorities_->path("pki/ca-cert.pem");
  client.certificate_file = authorities_->path("pki/client-cert.pem");
  client.key_file = authorities_->path("pki/client-key.pem");
  shake(client, x509("pki"));
  EXPECT_EQ(client_says(), "connected");
  EXPECT_EQ(server_says(), "connected");
  EXPECT_FALSE(pair_->server.report().peer.empty());  // the server has seen the certificate

  client.certificate_file.clear();
  client.key_file.clear();
  shake(client, lenient(x509("pki")));
  EXPECT_EQ(client_says(), "connected");
  client.authorities_file.clear();  // this system's authorities do not know ours
  shake(client, lenient(x509("pki")));
  EXPECT_NE(client_says(), "connected");
}

TEST_F(TlsTest, AgreesOnCertificates) {
  shake(x509("pki"), x509("pki"));
  ASSERT_EQ(client_says(), "connected");
  ASSERT_EQ(server_says(), "connected");
  EXPECT_EQ(pair_->client.report().peer, "CN=nas");
  EXPECT_EQ(pair_->server.report().peer, "CN=alice");
  EXPECT_EQ(pair_->client.report().exchange, "ECDHE");
  shake(x509("pki", "192.0.2.1"), lenient(x509("pki")));
  EXPECT_EQ(client_says(), "connected") << "an address is compared with the certificate's";
  EXPECT_EQ(pair_->server.report().peer, "");
}

TEST_F(TlsTest, SpeaksTls12WithForwardSecrecy) {
  for (const auto& [client, server] :
       {std::pair(x509("pki"), x509("pki")), std::pair(psk("keys.psk"), psk("keys.psk"))}) {
    TlsSettings old = server;
    old.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    shake(client, old);
    ASSERT_EQ(client_says(), "connected");
    EXPECT_EQ(pair_->client.report().version, "TLS1.2");
    EXPECT_THAT(pair_->client.report().exchange, HasSubstr("DHE-"));
  }
}

TEST_F(TlsTest, ServesBothKindsOfClients) {
  TlsSettings both = x509("pki");
  both.psk_file = authorities_->path("keys.psk");
  shake(psk("keys.psk"), both);
  EXPECT_EQ(server_says(), "connected");
  EXPECT_EQ(pair_->server.report().peer, "alice");
  shake(x509("pki"), both);
  EXPECT_EQ(server_says(), "connected");
  EXPECT_EQ(pair_->server.report().peer, "CN=alice");
}

TEST_F(TlsTest, RefusesWrongKeysAndUsers) {
  shake(psk("wrong.psk"), psk("keys.psk"));
  expect_client_refuses("does not know the user 'alice', or the key is wrong");
  EXPECT_THAT(server_says(), HasSubstr("'alice'"));
  shake(psk("wrong.psk", "bob"), psk("keys.psk"));
  expect_client_refuses("does not know the user 'bob', or the key is wrong");
  EXPECT_THAT(server_says(), HasSubstr("'bob'"));
}

TEST_F(TlsTest, RefusesTheServersCertificate) {
  shake(x509("pki", "elsewhere"), x509("pki"));
  expect_client_refuses("CN=nas is not for 'elsewhere' but for 'nas', '192.0.2.1'");
  EXPECT_THAT(server_says(), HasSubstr("the client refuses our certificate CN=nas"));
  shake(x509("pki", "192.0.2.2"), x509("pki"));
  expect_client_refuses("is not for '192.0.2.2'");
  shake(x509("other"), x509("pki"));
  expect_client_refuses("CN=nas is signed by CN=Our CA, whom nothing in");
  shake(x509("revoking"), x509("pki"));
  expect_client_refuses("CN=nas has been revoked, says");
  shake(x509("anonymous"), x509("swapped"));
  expect_client_refuses("is not meant for a TLS server");
  shake(lenient(x509("pki", "elsewhere")), x509("pki"));
  EXPECT_EQ(client_says(), "connected") << "as it was asked not to look";
}

ssize_t first_receive(Stream& stream) {
  std::array<std::byte, 10> bytes;
  std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
  return stream.receive(buffer);
}

// With TLS 1.3 the client has finished before the server has seen its certificate.
TEST_F(TlsTest, RefusesTheClientsCertificate) {
  shake(x509("anonymous"), x509("pki"));
  EXPECT_EQ(server_says(), "the client showed no certificate");
  EXPECT_EQ(client_says(), "connected");
  EXPECT_LT(first_receive(pair_->client), 0);
  EXPECT_THAT(pair_->client.why_ended(), HasSubstr("the server demands a client certificate"));

  TlsSettings stranger = lenient(x509("other"));
  shake(stranger, x509("pki"));
  EXPECT_EQ(server_says(), "the client showed no certificate") << "of a CA that it was asked for";
  EXPECT_LT(first_receive(pair_->client), 0);
  EXPECT_THAT(pair_->client.why_ended(), HasSubstr("ours, CN=mallory, is signed by CN=Another CA"));

  shake(x509("pki"), x509("client-revoked"));
  EXPECT_THAT(server_says(), HasSubstr("the client's certificate CN=alice has been revoked"));
  EXPECT_LT(first_receive(pair_->client), 0);
  EXPECT_THAT(pair_->client.why_ended(), HasSubstr("refuses our certificate CN=alice"));

  shake(x509("anonymous"), lenient(x509("pki")));
  EXPECT_EQ(server_says(), "connected");
}

TEST_F(TlsTest, SaysThatKeysAreOfTheOtherKind) {
  shake(psk("keys.psk"), lenient(x509("pki")));
  expect_client_refuses("wants certificates, not a pre-shared key");
  shake(x509("pki"), psk("keys.psk"));
  expect_client_refuses("a pre-shared key instead of certificates");
}

TEST_F(TlsTest, SaysThatThereIsNothingInCommon) {
  TlsSettings old = psk("keys.psk");
  old.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
  TlsSettings young = psk("keys.psk");
  young.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3";
  shake(young, old);
  expect_client_refuses("no version of TLS, cipher or key exchange in common");
}

Task<void> shake_alone(Loop&, TlsStream& stream, std::optional<Failure>& failure) {
  try {
    co_await stream.shake_hands();
  } catch (const Failure& thrown) {
    failure.emplace(thrown);
  }
}

TEST_F(TlsTest, NoticesWhatIsNotTls) {
  const TlsCredentials keys(Side::client, psk("keys.psk"));
  for (const std::string_view answer : {"NBDMAGICIHAVEOPT", "HTTP/1.1 400 Bad Request\r\n", ""}) {
    SocketPair sockets;
    Loop loop;
    SocketStream socket(loop, std::move(sockets.near));
    TlsStream stream(loop, socket, keys);
    ENSURE(::send(sockets.far.get(), answer.data(), answer.size(), 0) >= 0);
    ::shutdown(sockets.far.get(), SHUT_WR);
    std::optional<Failure> failure;
    loop.run(shake_alone(loop, stream, failure));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->kind(), FailureKind::refused);
    EXPECT_THAT(failure->what(), HasSubstr(answer.empty() ? "closed the connection during the PSK"
                                                          : "what answered is not TLS"));
  }
}

}  // namespace
}  // namespace nbdring
