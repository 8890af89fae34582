// A remote backend whose server comes to it: lanes, keeper and journal as with any other server,
// the connections from Peers.

#include "backends/websocket/peers.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <list>

#include "backends/nbd/backend.hpp"
#include "backends/websocket/peer_endpoint.hpp"
#include "tests/support/crashable_server.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/websocket_page.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 8 * 1024 * 1024;
constexpr std::uint32_t block = 4096;

Export image(std::uint16_t flags = CrashableServer::everything) {
  Export about;
  about.size = size;
  about.transmission_flags = flags;
  return about;
}

PeersOptions impatient() {
  PeersOptions options;
  options.answer_time = milliseconds(300);
  options.further_time = milliseconds(200);
  options.full_time = milliseconds(100);
  options.away_time = milliseconds(20'000);
  return options;
}

PeerInfo info_of(unsigned connections, const std::string& image_id = "an image") {
  PeerInfo info;
  info.address = "192.0.2.1";
  info.image = image_id;
  info.connections = connections;
  return info;
}

class CountingWatch final : public Peers::Watch {
 public:
  void peers_changed() noexcept override { ++changes; }
  std::atomic<unsigned> changes{0};
};

Task<void> connect_once(Loop& loop, PeerEndpoint& endpoint, Clock::time_point deadline) {
  const auto stream = co_await endpoint.connect(loop, deadline);
  EXPECT_NE(stream, nullptr);
}

/// Whether the websocket at the other end of a raw socket says close with this code, after pings.
bool closes_with(int socket, std::uint16_t code) {
  std::vector<std::uint8_t> seen;
  const bool came = eventually([&] {
    std::array<std::uint8_t, 128> bytes{};
    const ssize_t count = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) seen.insert(seen.end(), bytes.begin(), bytes.begin() + count);
    while (seen.size() >= 2 && seen[0] == 0x89 && seen.size() >= 2U + seen[1]) {
      seen.erase(seen.begin(), seen.begin() + 2 + seen[1]);
    }
    return seen.size() >= 4 && seen[0] == 0x88;
  });
  return came && (seen[2] << 8 | seen[3]) == code;
}

class PeersTest : public testing::Test {
 protected:
  ~PeersTest() override {
    if (backend_) backend_->abandon();  // a page that has gone is waited for, else
    lanes_.clear();
    peers_->close(4000, "detached");
    backend_.reset();
    page_.reset();
    second_.reset();
  }

  std::unique_ptr<TestPage> open_page(unsigned connections) {
    return std::make_unique<TestPage>(listener_, peers_, disk_, info_of(connections));
  }
  void attach(std::size_t lanes) {
    RemoteOptions options;
    options.lanes = static_cast<unsigned>(lanes);
    options.backoff_first = milliseconds(5);
    options.fence_delay = milliseconds(100);
    options.end_deadline = milliseconds(200);
    options.endpoint = "the test's page";
    auto endpoint = std::make_unique<PeerEndpoint>(peers_, "the test's page");
    auto dialer = std::make_unique<Dialer>(std::move(endpoint), "the test's page", "",
                                           TlsSettings{}, DialOptions{}, log_.log());
    backend_ = std::make_unique<NbdBackend>(std::move(dialer), options, log_.log());
    for (std::size_t i = 0; i < lanes; ++i) lanes_.emplace_back(*backend_, small_lane());
  }
  BlockingClient& client(std::size_t lane) { return std::next(lanes_.begin(), lane)->client(); }
  std::uint32_t write(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0) {
    const auto bytes = pattern(number, offset, block);
    return client(lane).call(make_request(nbd::cmd_write, offset, block), bytes).error;
  }
  bool reads(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0) {
    const auto reply = client(lane).call(make_request(nbd::cmd_read, offset, block));
    return reply.error == 0 && matches_pattern(reply.data, number, offset);
  }
  bool comes_to(unsigned connections) {
    return eventually([&] { return peers_->standing().connections == connections; });
  }

  CapturedLog log_;
  CrashableDisk disk_{image()};
  std::shared_ptr<Peers> peers_ = Peers::make(impatient());
  ListenerThread listener_;
  std::unique_ptr<TestPage> page_, second_;
  std::unique_ptr<NbdBackend> backend_;
  std::list<LaneFixture> lanes_;
};

TEST_F(PeersTest, EachLaneHasAConnectionAndOneWaits) {
  page_ = open_page(3);
  attach(2);
  EXPECT_EQ(write(1, 0, 0), 0U);
  EXPECT_EQ(write(2, block, 1), 0U);
  EXPECT_TRUE(reads(1, 0, 1));
  EXPECT_TRUE(reads(2, block, 0));
  EXPECT_TRUE(comes_to(3));
  const PeersStanding standing = peers_->standing();
  EXPECT_TRUE(standing.has_come);
  EXPECT_FALSE(standing.was_ejected);
  EXPECT_FALSE(standing.away_since);
  EXPECT_EQ(standing.address, "192.0.2.1");
  EXPECT_TRUE(eventually([&] { return page_->has_heard(1000); }))
      << "the keeper's own connection, not needed any more";
}

TEST_F(PeersTest, APeerThatReloadsComesBackAndTheRequestsGoOn) {
  page_ = open_page(3);
  attach(2);
  ASSERT_EQ(write(1, 0, 0), 0U);
  ASSERT_EQ(write(2, block, 1), 0U);
  page_->leave(1001);
  ASSERT_TRUE(comes_to(0));
  EXPECT_TRUE(peers_->standing().away_since);
  client(0).send(make_request(nbd::cmd_write, 2 * block, block), pattern(3, 2 * block, block));
  second_ = open_page(3);
  EXPECT_EQ(client(0).reply().error, 0U);
  EXPECT_TRUE(reads(1, 0, 1));
  EXPECT_TRUE(reads(3, 2 * block, 1));
  const PeersStanding standing = peers_->standing();
  EXPECT_FALSE(standing.was_ejected);
  EXPECT_FALSE(standing.away_since);
  EXPECT_EQ(standing.returns, 1U);
}

TEST_F(PeersTest, APeerThatGoesWithoutAWordIsAwayAndNotEjected) {
  page_ = open_page(2);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  page_->leave(0);
  ASSERT_TRUE(comes_to(0));
  EXPECT_FALSE(peers_->standing().was_ejected);
}

TEST_F(PeersTest, ACloseWith1000IsAnEjectAndTheWatchIsTold) {
  CountingWatch watch;
  peers_->set_watch(&watch);
  page_ = open_page(2);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  const unsigned changes = watch.changes;
  page_->leave(1000);
  EXPECT_TRUE(eventually([&] { return peers_->standing().was_ejected; }));
  EXPECT_GT(watch.changes, changes);
  EXPECT_TRUE(comes_to(0));
  peers_->set_watch(nullptr);
}

// The machine has left the network: its connections look alive until it is back.
TEST_F(PeersTest, AReturningPeerReplacesConnectionsThatAreDead) {
  page_ = open_page(3);
  attach(2);
  ASSERT_EQ(write(1, 0, 0), 0U);
  ASSERT_EQ(write(2, block, 1), 0U);
  ASSERT_TRUE(comes_to(3));
  page_->fall_silent();
  client(0).send(make_request(nbd::cmd_read, 0, block));
  second_ = open_page(3);
  const auto begun = Clock::now();
  EXPECT_EQ(client(0).reply().error, 0U);
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(5)) << "pings every 20 s would not do";
  EXPECT_TRUE(reads(2, block, 1));
  EXPECT_GT(peers_->standing().replaced, 0U);
  EXPECT_EQ(peers_->standing().returns, 0U) << "there was no moment without a connection";
}

TEST_F(PeersTest, APeerOfOneConnectionServesAllLanesThroughIt) {
  disk_.set_about(image(CrashableServer::everything & ~nbd::flag_can_multi_conn));
  page_ = open_page(1);
  attach(3);
  for (std::uint64_t i = 0; i < 30; ++i) ASSERT_EQ(write(i, i * block, i % 3), 0U);
  for (std::uint64_t i = 0; i < 30; ++i) ASSERT_TRUE(reads(i, i * block, (i + 1) % 3));
  EXPECT_EQ(page_->opened(), 1U);
  page_->leave(1001);
  client(1).send(make_request(nbd::cmd_read, 0, block));
  second_ = open_page(1);
  EXPECT_EQ(client(1).reply().error, 0U);
}

TEST_F(PeersTest, BesideAPeerOfOneConnectionThereIsRoomOnlyWhenItIsDead) {
  page_ = open_page(1);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  EXPECT_FALSE(listener_.asks_for_room(peers_).get());
  EXPECT_TRUE(reads(1, 0)) << "it has answered";
  page_->fall_silent();
  EXPECT_TRUE(listener_.asks_for_room(peers_).get());
}

TEST_F(PeersTest, APeerThatSaysManyAndOpensFewIsServedThroughOne) {
  PeerInfo info = info_of(2);
  page_ = std::make_unique<TestPage>(listener_, peers_, disk_, info);
  attach(4);
  for (std::uint64_t i = 0; i < 40; ++i) ASSERT_EQ(write(i, i * block, i % 4), 0U);
  for (std::uint64_t i = 0; i < 40; ++i) ASSERT_TRUE(reads(i, i * block, (i + 1) % 4));
}

TEST_F(PeersTest, OfTooManyThatWaitTheOldestGo) {
  PeersOptions few = impatient();
  few.waiting_max = 2;
  few.answer_time = std::chrono::seconds(60);  // these sockets answer nothing
  peers_ = Peers::make(few);
  std::vector<SocketPair> pairs(4);
  for (SocketPair& pair : pairs) listener_.offer(peers_, std::move(pair.near), info_of(8));
  EXPECT_TRUE(closes_with(pairs[0].far.get(), 1000));
  EXPECT_TRUE(closes_with(pairs[1].far.get(), 1000));
  pairs[0].far.reset();
  pairs[1].far.reset();
  EXPECT_TRUE(comes_to(2));
  pairs.clear();
}

TEST_F(PeersTest, WhoSaysMoreThanAGreetingBeforeHeIsAskedIsCutOff) {
  SocketPair pair;
  listener_.offer(peers_, std::move(pair.near), info_of(2));
  for (int i = 0; i < 200; ++i) {
    // A binary message of 4 bytes, masked with zeros.
    const std::array<std::uint8_t, 10> message{0x82, 0x84, 0, 0, 0, 0, 'N', 'B', 'D', 'M'};
    if (::send(pair.far.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) break;
  }
  EXPECT_TRUE(comes_to(0));
  EXPECT_FALSE(peers_->standing().was_ejected);
}

TEST_F(PeersTest, ALaneWaitsNoLongerThanItsDeadline) {
  PeerEndpoint endpoint(peers_, "the test's page");
  Loop loop;
  const auto begun = Clock::now();
  try {
    loop.run(connect_once(loop, endpoint, begun + milliseconds(50)));
    FAIL() << "there was nobody to connect to";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::unreachable);
    EXPECT_STREQ(failure.what(), "cannot reach the peer: it is not here");
  }
  EXPECT_GE(Clock::now() - begun, milliseconds(50));
}

TEST_F(PeersTest, TheEndOfTheSessionEndsAWait) {
  std::thread closing([this] {
    std::this_thread::sleep_for(milliseconds(30));
    peers_->close(4000, "detached");
  });
  PeerEndpoint endpoint(peers_, "the test's page");
  Loop loop;
  EXPECT_THROW(loop.run(connect_once(loop, endpoint, Clock::now() + std::chrono::seconds(20))),
               Failure);
  closing.join();
}

// Connections that come while waits end, over and over: each goes to one wait or stays.
TEST_F(PeersTest, ArrivalsAndDeadlinesThatMeetLoseNothing) {
  PeerEndpoint endpoint(peers_, "the test's page");
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> takers;
  for (int t = 0; t < 3; ++t) {
    takers.emplace_back([&] {
      for (int i = 0; i < 60; ++i) {
        Loop loop;
        try {
          loop.run(connect_once(loop, endpoint, Clock::now() + std::chrono::microseconds(300 * i)));
          ++taken;
        } catch (const Failure&) {
        }
      }
    });
  }
  std::vector<SocketPair> pairs(60);
  for (SocketPair& pair : pairs) {
    listener_.offer(peers_, std::move(pair.near), info_of(64));
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  for (std::thread& taker : takers) taker.join();
  EXPECT_GT(taken, 0U);
  peers_->close(4000, "detached");
  EXPECT_TRUE(comes_to(0)) << "those that were taken ended with their loops";
}

TEST_F(PeersTest, AConnectionThatOthersCanReadIsWarnedOf) {
  PeerInfo info = info_of(2);
  info.is_private = true;
  page_ = std::make_unique<TestPage>(listener_, peers_, disk_, info);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  EXPECT_EQ(log_.text().find("not encrypted"), std::string::npos);
  page_->leave(1001);
  ASSERT_TRUE(comes_to(0));
  info.is_private = false;
  second_ = std::make_unique<TestPage>(listener_, peers_, disk_, info);
  EXPECT_TRUE(reads(1, 0));
  EXPECT_NE(log_.text().find("not encrypted"), std::string::npos);
}

TEST_F(PeersTest, AnotherImageIsObjectedTo) {
  page_ = open_page(2);
  ASSERT_TRUE(comes_to(2));
  EXPECT_FALSE(peers_->objection(info_of(2)));
  const auto objection = peers_->objection(info_of(2, "another image"));
  ASSERT_TRUE(objection);
  EXPECT_EQ(objection->status, 409U);
  peers_->close(4000, "detached");
  EXPECT_TRUE(peers_->objection(info_of(2))) << "the session is over";
}

TEST_F(PeersTest, CloseTellsEveryConnectionTheCodeAndEndsTheWaits) {
  page_ = open_page(3);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  ASSERT_TRUE(comes_to(3));
  peers_->close(4001, "failed: a test");
  EXPECT_TRUE(comes_to(0));
  EXPECT_TRUE(eventually([&] { return page_->has_heard(4001); }));
  EXPECT_FALSE(peers_->standing().was_ejected) << "the peer's close was an answer";
}

TEST_F(PeersTest, WhatIsClosedFromSetCloseOnCarriesItsCode) {
  page_ = open_page(2);
  attach(1);
  ASSERT_EQ(write(1, 0), 0U);
  ASSERT_TRUE(comes_to(2));
  peers_->set_close(4000, "detached");
  lanes_.clear();
  backend_.reset();
  EXPECT_TRUE(eventually([&] { return page_->has_heard(4000); }));
}

}  // namespace
}  // namespace nbdring
