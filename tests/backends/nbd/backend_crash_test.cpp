// An engine dies, and the next one of its device goes on with what it left: here within one
// process. The dead one is a backend that reaches no server any more and is asked for nothing.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <list>

#include "backends/nbd/backend.hpp"
#include "tests/support/crashable_server.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/held_keepsakes.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 8 * 1024 * 1024;
constexpr std::uint32_t block = 4096;
constexpr std::chrono::milliseconds fence{600};
constexpr std::chrono::milliseconds endless_fence{60'000};  // a test that waits for it shows

/// Where an engine gets its connections from while it lives.
class MortalSource final : public ConnectionSource {
 public:
  MortalSource(CrashableServer& server, const std::atomic<bool>& is_dead)
      : server_(server), is_dead_(is_dead) {}
  Task<Dialled> dial(Loop& loop) const override {
    if (is_dead_) throw Failure(FailureKind::failed, "it is dead");
    co_return server_.connect(loop);
  }
  bool reaches_one_server() const override { return true; }

 private:
  CrashableServer& server_;
  const std::atomic<bool>& is_dead_;
};

/// What an engine keeps while it lives. A dead one drops nothing.
class MortalKeepsakes final : public Keepsakes {
 public:
  MortalKeepsakes(Keepsakes& kept, const std::atomic<bool>& is_dead)
      : kept_(kept), is_dead_(is_dead) {}
  std::optional<FileDescriptor> find(const std::string& name) override { return kept_.find(name); }
  void keep(const std::string& name, int fd) override {
    if (!is_dead_) kept_.keep(name, fd);
  }
  void drop(const std::string& name) noexcept override {
    if (!is_dead_) kept_.drop(name);
  }

 private:
  Keepsakes& kept_;
  const std::atomic<bool>& is_dead_;
};

class Engine {
 public:
  Engine(CrashableServer& server, Keepsakes* keepsakes, bool after_crash, std::size_t lanes = 2,
         std::chrono::milliseconds fence_delay = fence)
      : server_(server) {
    RemoteOptions options = quick_remote();
    options.fence_delay = fence_delay;
    options.lanes = static_cast<unsigned>(lanes);
    if (keepsakes != nullptr) keepsakes_.emplace(*keepsakes, is_dead_);
    options.keepsakes = keepsakes_ ? &*keepsakes_ : nullptr;
    options.after_crash = after_crash;
    backend_ = std::make_unique<NbdBackend>(std::make_unique<MortalSource>(server, is_dead_),
                                            options, log_.log());
    for (std::size_t i = 0; i < lanes; ++i) lanes_.emplace_back(*backend_, small_lane());
  }
  ~Engine() {
    if (is_dead_) backend_->abandon();
    lanes_.clear();
  }

  /// Nothing of it reaches the server from now on. A server that stalls has to die, too.
  void die(bool with_server = false) {
    is_dead_ = true;
    with_server ? server_.crash() : server_.cut();
    if (with_server) server_.start();
    ASSERT_TRUE(eventually([this] { return backend_->health().state == "recovering"; }));
  }
  BlockingClient& client(std::size_t lane = 0) { return std::next(lanes_.begin(), lane)->client(); }
  std::uint32_t write(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0) {
    const auto bytes = pattern(number, offset, block);
    return client(lane).call(make_request(nbd::cmd_write, offset, block), bytes).error;
  }
  std::uint32_t flush() { return client().call(make_request(nbd::cmd_flush, 0, 0)).error; }
  bool reads(std::uint64_t number, std::uint64_t offset, std::size_t lane = 0) {
    const auto reply = client(lane).call(make_request(nbd::cmd_read, offset, block));
    return reply.error == 0 && matches_pattern(reply.data, number, offset);
  }
  BackendHealth health() const { return backend_->health(); }

 private:
  CrashableServer& server_;
  std::atomic<bool> is_dead_{false};
  std::optional<MortalKeepsakes> keepsakes_;
  CapturedLog log_;
  std::unique_ptr<NbdBackend> backend_;
  std::list<LaneFixture> lanes_;
};

class NbdCrashTest : public testing::TestWithParam<bool> {
 protected:
  static std::uint16_t flags() {
    return GetParam() ? CrashableServer::everything
                      : CrashableServer::everything & ~nbd::flag_can_multi_conn;
  }
  /// An engine that dies with a change on its way; what it had acknowledged is pattern 1.
  void leave_a_change_on_its_way() {
    Engine& former = dead_.emplace_back(server_, &kept_, false);
    ASSERT_EQ(former.write(1, 0), 0U);
    server_.stall(true);
    former.client().send(make_request(nbd::cmd_write, 0, block), pattern(2, 0, block));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    former.die(true);
  }
  static bool has_reply(Engine& engine) {
    pollfd wait{engine.client().fd(), POLLIN, 0};
    return ::poll(&wait, 1, 100) != 0;
  }
  bool is_stable(std::uint64_t number, std::uint64_t offset) {
    return matches_pattern(server_.disk().stable(offset, block), number, offset);
  }
  static Clock::duration since(Clock::time_point begin) { return Clock::now() - begin; }

  CrashableServer server_{size, flags()};
  HeldKeepsakes kept_;
  std::list<Engine> dead_;
};

INSTANTIATE_TEST_SUITE_P(ManyConnectionsAndOne, NbdCrashTest, testing::Bool());

// Both at once: what had been acknowledged was nowhere but in the keepsakes.
TEST_P(NbdCrashTest, NothingIsLostWhenEngineAndServerDieTogether) {
  Engine former(server_, &kept_, false);
  for (std::uint64_t i = 1; i <= 50; ++i) ASSERT_EQ(former.write(i, i % 7 * block, i % 2), 0U);
  former.die();
  server_.crash();
  EXPECT_THROW(Engine(server_, &kept_, true), Failure) << "the server is still away";
  server_.start();
  Engine next(server_, &kept_, true);
  for (std::uint64_t i = 44; i <= 50; ++i) EXPECT_TRUE(next.reads(i, i % 7 * block, i % 2));
  EXPECT_GE(next.health().replayed_writes, 48U);  // a lane's first flush may have covered some
  for (std::uint64_t i = 44; i <= 50; ++i) EXPECT_TRUE(is_stable(i, i % 7 * block));
  EXPECT_EQ(next.health().volatile_writes, 0U);
  EXPECT_EQ(next.write(60, 0), 0U);
  EXPECT_EQ(next.flush(), 0U);
  EXPECT_TRUE(is_stable(60, 0));
}

TEST_P(NbdCrashTest, ManyEnginesDieOneAfterTheOther) {
  std::list<Engine> engines;
  std::uint64_t number = 0;
  std::vector<std::uint64_t> last(16, 0);
  for (int round = 0; round < 6; ++round) {
    Engine& engine = engines.emplace_back(server_, &kept_, round > 0, 1 + round % 3);
    for (int i = 0; i < 40; ++i) {
      ++number;
      last[number % 16] = number;
      ASSERT_EQ(engine.write(number, number % 16 * block, number % (1 + round % 3)), 0U);
    }
    ASSERT_TRUE(round % 2 == 1 || engine.flush() == 0);
    ++number;
    ASSERT_EQ(engine.write(number, number % 16 * block), 0U);
    last[number % 16] = number;
    engine.die();
    if (round % 3 != 0) server_.crash();
    server_.start();
  }
  Engine engine(server_, &kept_, true);
  ASSERT_EQ(engine.flush(), 0U);
  for (std::size_t i = 0; i < last.size(); ++i) EXPECT_TRUE(is_stable(last[i], i * block)) << i;
}

// What was flushed is not written again: others may have written since, through the next engine.
TEST_P(NbdCrashTest, WhatIsDurableIsNotWrittenAgain) {
  Engine former(server_, &kept_, false);
  ASSERT_EQ(former.write(1, 0, 0), 0U);
  ASSERT_EQ(former.write(2, block, 1), 0U);
  ASSERT_EQ(former.flush(), 0U);
  former.die();
  Engine next(server_, &kept_, true);
  EXPECT_TRUE(next.reads(1, 0));
  EXPECT_EQ(next.health().replayed_writes, 0U);
  EXPECT_EQ(next.health().state, "serving");
}

TEST_P(NbdCrashTest, AnEngineThatHadNothingOnItsWayLeavesNoGhosts) {
  Engine former(server_, &kept_, false);
  ASSERT_EQ(former.write(1, 0), 0U);
  former.die();
  const auto begin = Clock::now();
  Engine next(server_, &kept_, true, 2, endless_fence);
  EXPECT_EQ(next.write(2, 0), 0U);
  EXPECT_LT(since(begin), endless_fence);
}

TEST_P(NbdCrashTest, WhoHasSeenTheServerCloseExpectsNoGhosts) {
  leave_a_change_on_its_way();
  EXPECT_GE(kept_.connections(), 1U);
  const auto begin = Clock::now();
  Engine next(server_, &kept_, true, 2, endless_fence);
  EXPECT_EQ(next.write(3, 0), 0U);
  EXPECT_LT(since(begin), endless_fence);
  EXPECT_TRUE(next.reads(3, 0));
}

// A socket of the dead engine's whose far end is the test's.
TEST_P(NbdCrashTest, NothingIsWrittenBeforeTheServerHasClosed) {
  leave_a_change_on_its_way();
  SocketPair former;
  kept_.keep("connection-40", former.near.get());
  former.near.reset();
  Engine next(server_, &kept_, true, 2, endless_fence);
  next.client().send(make_request(nbd::cmd_write, 0, block), pattern(3, 0, block));
  char byte = 0;
  EXPECT_EQ(::read(former.far.get(), &byte, 1), 0) << "our side is not ended";
  const std::vector<char> replies(1 << 20, 'r');  // more than the socket holds: they are taken
  for (std::size_t sent = 0; sent < replies.size();) {
    const ssize_t count = ::send(former.far.get(), replies.data(), replies.size() - sent, 0);
    ASSERT_GT(count, 0);
    sent += static_cast<std::size_t>(count);
  }
  EXPECT_FALSE(has_reply(next)) << "written over what may still come";
  former.far.reset();
  EXPECT_EQ(next.client().reply().error, 0U);
  EXPECT_TRUE(next.reads(3, 0));
  EXPECT_FALSE(kept_.has("connection-40"));
}

TEST_P(NbdCrashTest, AServerThatDoesNotCloseIsWaitedForAsLongAsGhostsMayCome) {
  leave_a_change_on_its_way();
  SocketPair former;
  kept_.keep("connection-40", former.near.get());
  const auto begin = Clock::now();
  Engine next(server_, &kept_, true);
  EXPECT_EQ(next.write(3, 0), 0U);
  EXPECT_GE(since(begin), fence);
  EXPECT_FALSE(kept_.has("connection-40"));
}

TEST_P(NbdCrashTest, EachConnectionIsHeldForAsLongAsItLives) {
  {
    Engine engine(server_, &kept_, false);
    ASSERT_EQ(engine.write(1, 0, 0), 0U);
    ASSERT_EQ(engine.write(2, block, 1), 0U);
    EXPECT_TRUE(eventually([this] { return kept_.connections() == server_.connections(); }));
  }
  EXPECT_EQ(kept_.connections(), 0U);
}

TEST_P(NbdCrashTest, GhostsOfConnectionsThatNobodyHeldAreWaitedFor) {
  kept_.refuse_connections();
  leave_a_change_on_its_way();
  const auto begin = Clock::now();
  {
    Engine next(server_, &kept_, true);
    next.die();  // and a second death does not shorten it
  }
  Engine last(server_, &kept_, true);
  EXPECT_EQ(last.write(3, 0), 0U);
  EXPECT_GE(since(begin), fence);
  EXPECT_TRUE(last.reads(3, 0));
}

TEST_P(NbdCrashTest, WithoutKeepsakesGhostsAreExpected) {
  const auto begin = Clock::now();
  Engine next(server_, nullptr, true);
  EXPECT_EQ(next.write(1, 0), 0U);
  EXPECT_GE(since(begin), fence);
}

// The way of an upgrade and a resize.
TEST_P(NbdCrashTest, AnEngineThatEndsInAnOrderlyWayLeavesNothingToDo) {
  for (std::uint64_t i = 1; i <= 10; ++i) {
    const auto begin = Clock::now();
    Engine engine(server_, &kept_, false, 2, endless_fence);
    ASSERT_EQ(engine.write(i, 0, i % 2), 0U);
    ASSERT_EQ(engine.write(100 + i, 0, (i + 1) % 2), 0U);
    ASSERT_TRUE(engine.reads(100 + i, 0));
    EXPECT_EQ(engine.health().replayed_writes, 0U);
    EXPECT_LT(since(begin), endless_fence);
  }
  EXPECT_TRUE(is_stable(110, 0));
}

TEST_P(NbdCrashTest, WhatWasAcknowledgedGoesToNoOtherDisk) {
  Export other = server_.disk().about();
  const Export same = other;
  other.size /= 2;
  {
    Engine former(server_, &kept_, false);
    ASSERT_EQ(former.write(1, 0), 0U);
    former.die();
    server_.crash();
    server_.disk().set_about(other);
    server_.start();
    EXPECT_THROW(Engine(server_, &kept_, true), Failure);
    EXPECT_FALSE(is_stable(1, 0));
    server_.crash();
    server_.disk().set_about(same);
    server_.start();
    Engine next(server_, &kept_, true);
    EXPECT_TRUE(next.reads(1, 0));
    ASSERT_EQ(next.flush(), 0U);
  }
  server_.disk().set_about(other);
  EXPECT_NO_THROW(Engine(server_, &kept_, false)) << "nothing is owed to the former one";
}

}  // namespace
}  // namespace nbdring
