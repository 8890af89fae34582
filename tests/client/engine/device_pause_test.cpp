// A device that is stopped at a request boundary, goes on, or leaves its connections to another.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "backends/memory.hpp"
#include "client/engine/device.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t size = 1024 * 1024;
constexpr std::uint32_t page = 4096;

Clock::time_point soon() { return Clock::now() + std::chrono::seconds(10); }

class DevicePauseTest : public testing::Test {
 protected:
  ~DevicePauseTest() override { gated_.open_gate(); }

  DeviceOptions options() {
    DeviceOptions options;
    options.lane = small_lane();
    options.lane.slots = 32;
    return options;
  }
  void start(std::size_t lanes) {
    std::vector<FileDescriptor> sockets;
    for (std::size_t i = 0; i < lanes; ++i) {
      SocketPair pair;
      clients_.push_back(std::make_unique<BlockingClient>(std::move(pair.far)));
      sockets.push_back(std::move(pair.near));
    }
    device_ = std::make_unique<Device>(gated_, options(), log_.log());
    device_->start(std::move(sockets));
  }
  bool stays_silent(std::size_t client) {
    pollfd set{clients_[client]->fd(), POLLIN, 0};
    return ::poll(&set, 1, 60) == 0;
  }

  CapturedLog log_;
  MemoryBackend memory_{size};
  GatedBackend gated_{memory_};
  std::vector<std::unique_ptr<BlockingClient>> clients_;
  std::unique_ptr<Device> device_;
};

TEST_F(DevicePauseTest, ServesNothingWhilePausedAndEverythingAfterwards) {
  gated_.open_gate();
  start(2);
  ASSERT_TRUE(device_->pause(soon()));
  EXPECT_EQ(device_->stats(1).state.load(), LaneState::paused);
  clients_[1]->send(make_request(nbd::cmd_read, 0, page));
  EXPECT_TRUE(stays_silent(1));
  device_->resume();
  EXPECT_EQ(clients_[1]->reply().error, 0U);
  ASSERT_TRUE(device_->pause(soon()));
  device_->resume();
  EXPECT_EQ(clients_[0]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
}

TEST_F(DevicePauseTest, ReceivesAHalfRequestToItsEnd) {
  gated_.open_gate();
  start(1);
  auto request = make_request(nbd::cmd_write, 0, page);
  const auto data = pattern(2, 0, page);
  for (const std::size_t cut : {std::size_t{5}, std::size_t{28}, std::size_t{1000}}) {
    request.cookie = cut;
    const auto whole = clients_[0]->side().encode(request, data);
    clients_[0]->send_raw(std::span(whole).first(cut));
    std::this_thread::sleep_for(milliseconds{5});
    std::thread rest([&] {
      std::this_thread::sleep_for(milliseconds{20});
      auto bytes =
          std::vector<std::byte>(whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end());
      const auto next = clients_[0]->side().encode(make_request(nbd::cmd_flush, 0, 0), {});
      bytes.insert(bytes.end(), next.begin(), next.end());
      clients_[0]->send_raw(bytes);
    });
    EXPECT_TRUE(device_->pause(soon())) << cut;
    rest.join();
    EXPECT_EQ(clients_[0]->reply().request.command, nbd::cmd_write) << cut;
    EXPECT_TRUE(stays_silent(0)) << "read beyond the half request";
    device_->resume();
    EXPECT_EQ(clients_[0]->reply().request.command, nbd::cmd_flush) << cut;
  }
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(page), 2, 0));
}

TEST_F(DevicePauseTest, GoesOnWhereSomethingDoesNotEndInTime) {
  start(2);
  clients_[0]->send(make_request(nbd::cmd_write, 0, page), pattern(2, 0, page));
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 1; }));
  EXPECT_FALSE(device_->pause(Clock::now() + milliseconds{50}));
  gated_.open_gate();
  EXPECT_EQ(clients_[0]->reply().error, 0U);
  EXPECT_EQ(clients_[0]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
  EXPECT_EQ(clients_[1]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
  EXPECT_TRUE(device_->pause(soon()));
  device_->resume();
}

TEST_F(DevicePauseTest, IsNotPausedWhileALaneIsLostOrTheDriverEndsIt) {
  gated_.open_gate();
  start(2);
  ::shutdown(clients_[0]->fd(), SHUT_RDWR);
  ASSERT_TRUE(eventually([&] { return !device_->lost().empty(); }));
  EXPECT_FALSE(device_->pause(soon()));
  clients_[1]->send(make_request(nbd::cmd_disc, 0, 0));
  ASSERT_TRUE(eventually([&] { return device_->has_ended(); }));
  EXPECT_FALSE(device_->pause(soon()));
}

TEST_F(DevicePauseTest, NoticesAfterwardsWhatTheDriverDidMeanwhile) {
  gated_.open_gate();
  start(2);
  ASSERT_TRUE(device_->pause(soon()));
  ::shutdown(clients_[0]->fd(), SHUT_RDWR);
  clients_[1]->send(make_request(nbd::cmd_write, 0, page), pattern(4, 0, page));
  device_->resume();
  EXPECT_EQ(clients_[1]->reply().error, 0U);
  EXPECT_TRUE(eventually([&] { return device_->lost() == std::vector<std::size_t>{0}; }));
}

// Answers come for everything, in step, from one device or from the next.
TEST_F(DevicePauseTest, LeavesItsConnectionsToAnotherDeviceUnderLoad) {
  gated_.open_gate();
  start(2);
  std::atomic<bool> stop{false};
  std::vector<std::thread> load;
  std::atomic<std::uint64_t> answered{0};
  for (std::size_t i = 0; i < 2; ++i) {
    load.emplace_back([&, i] {
      BlockingClient& client = *clients_[i];
      for (std::uint64_t at = 0; !stop; at = (at + page) % (size / 4)) {
        const std::uint64_t offset = i * size / 2 + at;
        client.send(make_request(nbd::cmd_write, offset, page), pattern(7, offset, page));
        while (client.side().outstanding().size() >= 24) {
          EXPECT_EQ(client.reply().error, 0U);
          ++answered;
        }
      }
      while (!client.side().outstanding().empty()) EXPECT_EQ(client.reply().error, 0U);
    });
  }
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t before = answered;
    ASSERT_TRUE(eventually([&] { return answered > before; }));
    ASSERT_TRUE(device_->pause(soon()));
    auto sockets = device_->take_sockets();
    EXPECT_TRUE(device_->has_ended());
    device_ = std::make_unique<Device>(gated_, options(), log_.log());
    device_->start(std::move(sockets));
  }
  stop = true;
  for (std::thread& thread : load) thread.join();
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(page), 7, 0));
  EXPECT_EQ(log_.text(), "");
}

TEST_F(DevicePauseTest, HandsOnWhatLiesInTheSocket) {
  gated_.open_gate();
  start(1);
  ASSERT_TRUE(device_->pause(soon()));
  clients_[0]->send(make_request(nbd::cmd_write, 0, page), pattern(3, 0, page));
  auto sockets = device_->take_sockets();
  ASSERT_EQ(sockets.size(), 1U);
  device_.reset();
  EXPECT_TRUE(stays_silent(0));
  device_ = std::make_unique<Device>(memory_, options(), log_.log());
  device_->start(std::move(sockets));
  EXPECT_EQ(clients_[0]->reply().error, 0U);
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(page), 3, 0));
}

}  // namespace
}  // namespace nbdring
