// Whoever speaks nonsense, speaks slowly, or comes too often costs nobody else anything.

#include <netinet/in.h>
#include <sys/socket.h>

#include "backends/websocket/credentials.hpp"
#include "backends/websocket/peer_address.hpp"
#include "backends/websocket/peer_log.hpp"
#include "tests/support/listener_fixture.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

TEST_F(ListenerTest, AHeadThatDripsIsGivenUpInTime) {
  options_.head_time = milliseconds(200);
  start();
  const FileDescriptor slow = connect();
  ::send(slow.get(), "GET / HTTP/1.1\r\n", 16, 0);
  const auto begun = Clock::now();
  EXPECT_EQ(get("/").status, 200U) << "while the other drips";
  EXPECT_EQ(reply_of(receive_all(slow.get())).status, 408U);
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(5));
}

TEST_F(ListenerTest, SilenceIsGivenUpInTime) {
  options_.head_time = milliseconds(100);
  start();
  const FileDescriptor silent = connect();
  EXPECT_EQ(reply_of(receive_all(silent.get())).status, 408U);
}

TEST_F(ListenerTest, ALargeHeadIsRefused) {
  start();
  const std::string line = "X-Long: " + std::string(1000, 'x') + "\r\n";
  std::string head = "GET / HTTP/1.1\r\nHost: nas\r\n";
  for (int i = 0; i < 20; ++i) head += line;
  EXPECT_EQ(ask(head + "\r\n").status, 431U);
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nHost: nas\r\nX: " + std::string(20'000, 'x')).status, 431U);
}

TEST_F(ListenerTest, ALargeBodyIsRefused) {
  start();
  const HttpReply reply =
      ask("POST /api/login HTTP/1.1\r\nHost: nas\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(reply.status, 413U);
}

TEST_F(ListenerTest, NonsenseIsRefusedAtOnce) {
  options_.head_time = milliseconds(30'000);
  start();
  const auto begun = Clock::now();
  EXPECT_EQ(ask(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)).status, 400U);
  EXPECT_EQ(ask("NBDMAGICIHAVEOPT\n\n").status, 400U);
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(10));
}

TEST_F(ListenerTest, AConnectionHasOneRequest) {
  start();
  const std::string one = "GET /nothing HTTP/1.1\r\nHost: nas\r\n\r\n";
  const HttpReply reply = ask(one + one + one);
  EXPECT_EQ(reply.status, 404U);
  EXPECT_EQ(reply.body.find("HTTP/1.1"), std::string::npos);
}

TEST_F(ListenerTest, WhoEndsHisSideInTheMiddleOfAHeadGetsNothing) {
  start();
  const FileDescriptor client = connect();
  ::send(client.get(), "GET / HT", 8, 0);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(receive_all(client.get()), "");
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 0; }));
}

TEST_F(ListenerTest, WhoEndsHisSideBehindTheHeadStillGetsTheAnswer) {
  start();
  const FileDescriptor client = connect();
  const std::string request = "GET / HTTP/1.1\r\nHost: nas\r\n\r\n";
  ::send(client.get(), request.data(), request.size(), 0);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(reply_of(receive_all(client.get())).status, 200U);
}

TEST_F(ListenerTest, TooManyHeadsAtOnceAreTurnedAway) {
  options_.heads_max = 3;
  start();
  std::vector<FileDescriptor> idle;
  for (int i = 0; i < 3; ++i) idle.push_back(connect());
  const FileDescriptor more = connect();
  EXPECT_EQ(receive_all(more.get()), "");
  idle.clear();
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 0; }));
  EXPECT_EQ(get("/").status, 200U);
}

TEST_F(ListenerTest, WhoTakesNoAnswerIsGivenUp) {
  options_.answer_time = milliseconds(200);
  start();
  std::vector<FileDescriptor> clients;
  const std::string request = "GET / HTTP/1.1\r\nHost: nas\r\n\r\n";
  for (int i = 0; i < 8; ++i) {
    clients.push_back(connect());
    ::send(clients.back().get(), request.data(), request.size(), 0);
  }
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 0; }));
}

TEST_F(ListenerTest, ReasonsOfPeersArePrintableInTheLog) {
  start();
  EXPECT_EQ(get("/", "X: \x1b[31mred\r\n").status, 400U);
  EXPECT_EQ(log_.text().find('\x1b'), std::string::npos);
}

TEST(PeerLog, WritesSoManyOfAKindAMinuteAndThenSaysHowManyItLeftOut) {
  CapturedLog captured;
  PeerLog log(captured.log());
  const auto now = Clock::now();
  for (unsigned i = 0; i < PeerLog::lines_per_minute + 30; ++i) {
    log.refused("knocked", "192.0.2.1", "no", now);
  }
  log.refused("another kind", "192.0.2.1", "no", now);
  std::string text = captured.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), PeerLog::lines_per_minute + 1);
  log.refused("knocked", "192.0.2.1", "no", now + std::chrono::minutes(1));
  text = captured.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), PeerLog::lines_per_minute + 2);
  EXPECT_NE(text.find("30 more of the kind"), std::string::npos);
}

TEST(AddressCounts, LimitsAllAndEachAndGivesPlacesBack) {
  const auto counts = std::make_shared<AddressCounts>(3, 2);
  auto first = counts->enter("a");
  const auto second = counts->enter("a");
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(counts->enter("a"));
  const auto other = counts->enter("b");
  ASSERT_TRUE(other);
  EXPECT_FALSE(counts->enter("c")) << "three in all";
  first.reset();
  EXPECT_TRUE(counts->enter("a"));
  EXPECT_EQ(counts->all(), 2U);
}

PeerAddress address_over(int family) {
  const FileDescriptor listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage storage{};
  storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_addr = in6addr_loopback;
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  auto& address = reinterpret_cast<sockaddr&>(storage);
  if (::bind(listener.get(), &address, length) != 0) return {};
  ::listen(listener.get(), 1);
  ::getsockname(listener.get(), &address, &length);
  const FileDescriptor client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(client.get(), &address, length) != 0) return {};
  const FileDescriptor accepted(::accept(listener.get(), nullptr, nullptr));
  return peer_address_of(accepted.get());
}

TEST(PeerAddress, SaysWhoIsThereAndWhoSharesALimit) {
  const PeerAddress four = address_over(AF_INET);
  EXPECT_EQ(four.text, "127.0.0.1");
  EXPECT_EQ(four.group, "127.0.0.1");
  EXPECT_TRUE(four.is_local);
  SocketPair pair;
  const PeerAddress unix_peer = peer_address_of(pair.near.get());
  EXPECT_EQ(unix_peer.text, "a Unix socket");
  EXPECT_EQ(unix_peer.group, "");
  EXPECT_TRUE(unix_peer.is_local);
  const PeerAddress six = address_over(AF_INET6);
  if (six.text.empty()) GTEST_SKIP() << "this machine has no IPv6";
  EXPECT_EQ(six.text, "::1");
  EXPECT_EQ(six.group.size(), 8U) << "the network, a /64";
}

HttpRequest with(const std::string& authorization) {
  HttpRequest request;
  if (!authorization.empty()) request.headers.push_back({"authorization", authorization});
  return request;
}

TEST(Credentials, AreFoundInTheHeaderOrElseInASubprotocol) {
  EXPECT_EQ(credentials_of(with("Bearer id:secret")).token, "id:secret");
  EXPECT_EQ(credentials_of(with("bearer  id:secret")).token, "id:secret");
  EXPECT_EQ(credentials_of(with("Bearer-Session KEY")).session, "KEY");
  EXPECT_EQ(credentials_of(with("Basic aWQ6c2VjcmV0")).token, "");
  EXPECT_EQ(credentials_of(with("Bearer")).token, "");
  EXPECT_EQ(credentials_of(with("Bearer ")).token, "");
  const std::vector<std::string> offered{"chat", "nbd.token.id", "nbd.token.id.secret",
                                         "nbd.session.KEY"};
  const Credentials first = credentials_of(with(""), offered);
  EXPECT_EQ(first.token, "id:secret");
  EXPECT_EQ(first.protocol, "nbd.token.id.secret");
  EXPECT_EQ(first.session, "");
  const Credentials header = credentials_of(with("Bearer other:one"), offered);
  EXPECT_EQ(header.token, "other:one");
  EXPECT_EQ(header.protocol, "");
  EXPECT_EQ(credentials_of(with(""), std::vector<std::string>{"nbd.session.KEY"}).session, "KEY");
}

}  // namespace
}  // namespace nbdring
