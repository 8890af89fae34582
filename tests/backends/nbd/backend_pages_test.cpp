// Large READs of a remote, from the server's socket to the client's by reference: among other
// requests, with servers and clients that go away in the middle.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "backends/nbd/backend.hpp"
#include "tests/support/crashable_server.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024;
constexpr std::uint32_t large = 256 * 1024;
constexpr std::uint32_t block = 512;

class BackendPagesTest : public testing::Test {
 protected:
  BackendPagesTest() {
    ::signal(SIGPIPE, SIG_IGN);
    backend_ = std::make_unique<NbdBackend>(std::make_unique<CrashableSource>(server_),
                                            quick_remote(), log_.log());
  }
  void start(bool structured = false) {
    LaneOptions options = small_lane();
    options.slots = 32;
    options.resident_bytes = 16 * large;
    TransmissionOptions transmission;
    transmission.structured_replies = structured;
    lane_ = std::make_unique<LaneFixture>(*backend_, options, transmission);
    for (std::uint64_t at = 0; at < size; at += large) {
      const auto bytes = pattern(1, at, large);
      ASSERT_EQ(client().call(make_request(nbd::cmd_write, at, large), bytes).error, 0U);
    }
    ASSERT_EQ(client().call(make_request(nbd::cmd_flush, 0, 0)).error, 0U);
  }
  BlockingClient& client() { return lane_->client(); }
  void ask(std::uint64_t offset, std::uint32_t count = large) {
    client().send(make_request(nbd::cmd_read, offset, count));
  }
  void expect_reply() {
    const ClientReply reply = client().reply();
    EXPECT_EQ(reply.error, 0U);
    if (reply.request.command != nbd::cmd_read) return;
    ASSERT_EQ(reply.data.size(), reply.request.length);
    EXPECT_TRUE(matches_pattern(reply.data, 1, reply.request.offset)) << reply.request.offset;
  }

  CapturedLog log_;
  CrashableServer server_{size};
  std::unique_ptr<NbdBackend> backend_;
  std::unique_ptr<LaneFixture> lane_;
};

TEST_F(BackendPagesTest, ReadsOfEverySizeAmongWrites) {
  for (const bool structured : {false, true}) {
    start(structured);
    Random random(8);
    int outstanding = 0;
    for (int i = 0; i < 400; ++i) {
      const bool is_large = random.percent(60);
      const std::uint64_t blocks = is_large ? 256 + random.below(257) : 1 + random.below(16);
      const auto count = static_cast<std::uint32_t>(blocks * block);
      const std::uint64_t offset = random.below((size - count) / block) * block;
      if (random.percent(20)) {
        const auto bytes = pattern(1, offset, count);  // what is there already
        client().send(make_request(nbd::cmd_write, offset, count), bytes);
      } else {
        ask(offset, count);
      }
      if (++outstanding == 8) {
        expect_reply();
        --outstanding;
      }
    }
    for (; outstanding > 0; --outstanding) expect_reply();
    lane_.reset();
  }
}

TEST_F(BackendPagesTest, RepeatsWhatIsLostInTheMiddle) {
  start();
  for (int round = 0; round < 30; ++round) {
    for (std::uint64_t i = 0; i < 8; ++i)
      ask(i * large + static_cast<std::uint64_t>(round) * block);
    std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    if (round % 3 == 0) {
      server_.crash();
      server_.start();
    } else {
      server_.cut();
    }
    for (int i = 0; i < 8; ++i) expect_reply();
  }
  EXPECT_GT(server_.dials(), 10U);
}

// One that reads slowly has more waiting for it than fits into its socket and the lane's pipe.
TEST_F(BackendPagesTest, ASlowClientGetsAllOfIt) {
  start();
  const int bytes = 4608;
  ::setsockopt(client().fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  for (std::uint64_t i = 0; i < 16; ++i) ask(i * large + block);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (int i = 0; i < 16; ++i) expect_reply();
}

TEST_F(BackendPagesTest, AClientThatGoesAwayLeavesNothingBehind) {
  for (int round = 0; round < 10; ++round) {
    start();
    for (std::uint64_t i = 0; i < 8; ++i) ask(i * large);
    client().receive_raw(static_cast<std::size_t>(round) * 100'000);
    client().close();
    lane_->end();
    lane_.reset();
  }
  EXPECT_EQ(log_.text().find("lost"), std::string::npos) << log_.text();
}

}  // namespace
}  // namespace nbdring
