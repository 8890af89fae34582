// A device whose connections are lost and replaced, and the fence between its lanes.

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

// With a give_up() that can be seen, and a lane that cannot be opened.
class WatchedBackend final : public Backend {
 public:
  explicit WatchedBackend(Backend& inner) : inner_(inner) {}

  const Export& about() const override { return inner_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    if (refuses) throw Failure(FailureKind::unreachable, "no way to the storage");
    return std::make_unique<WatchedLane>(*this, inner_.open_lane(loop));
  }

  std::atomic<bool> refuses{false};
  std::atomic<unsigned> given_up{0};

 private:
  class WatchedLane final : public BackendLane {
   public:
    WatchedLane(WatchedBackend& watched, std::unique_ptr<BackendLane> inner)
        : watched_(watched), inner_(std::move(inner)) {}
    Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
      return inner_->read(offset, buffer);
    }
    Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
      return inner_->write(offset, buffer, fua);
    }
    Task<Status> flush() override { return inner_->flush(); }
    Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
      return inner_->trim(offset, length, fua);
    }
    Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
      return inner_->write_zeroes(offset, length, mode);
    }
    Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
      return inner_->extents(offset, length, list);
    }
    void give_up() noexcept override { ++watched_.given_up; }
    FramePool& frames() override { return inner_->frames(); }

   private:
    WatchedBackend& watched_;
    std::unique_ptr<BackendLane> inner_;
  };

  Backend& inner_;
};

class DeviceLostTest : public testing::Test {
 protected:
  void start(std::size_t lanes, milliseconds suspect_after = milliseconds{0}) {
    DeviceOptions options;
    options.lane = small_lane();
    options.lane.slots = 8;
    options.suspect_after = suspect_after;
    device_ = std::make_unique<Device>(watched_, options, log_.log());
    std::vector<FileDescriptor> sockets;
    for (std::size_t i = 0; i < lanes; ++i) sockets.push_back(connection());
    device_->start(std::move(sockets));
  }
  ~DeviceLostTest() override { gated_.open_gate(); }

  FileDescriptor connection() {
    SocketPair pair;
    clients_.push_back(std::make_unique<BlockingClient>(std::move(pair.far)));
    return std::move(pair.near);
  }
  // As the driver does it: what was sent may still be read.
  void shoot(std::size_t client) { ::shutdown(clients_[client]->fd(), SHUT_RDWR); }
  bool becomes_lost(std::size_t lane) {
    return eventually([&] { return device_->lost() == std::vector<std::size_t>{lane}; });
  }
  void write(std::size_t client, std::uint64_t number, std::uint64_t offset = 0) {
    clients_[client]->send(make_request(nbd::cmd_write, offset, page),
                           pattern(number, offset, page));
  }
  bool stays_silent(std::size_t client) {
    pollfd set{clients_[client]->fd(), POLLIN, 0};
    return ::poll(&set, 1, 60) == 0;
  }
  bool holds(std::uint64_t number, std::uint64_t offset = 0) {
    return matches_pattern(memory_.bytes().subspan(offset, page), number, offset);
  }
  bool attention() {
    pollfd set{device_->attention_fd(), POLLIN, 0};
    if (::poll(&set, 1, 10'000) != 1) return false;
    std::uint64_t value = 0;
    return ::read(device_->attention_fd(), &value, sizeof value) == sizeof value;
  }

  CapturedLog log_;
  MemoryBackend memory_{size};
  GatedBackend gated_{memory_};
  WatchedBackend watched_{gated_};
  std::vector<std::unique_ptr<BlockingClient>> clients_;
  std::unique_ptr<Device> device_;
};

TEST_F(DeviceLostTest, TellsALaneThatWasLostAndServesItsNewConnection) {
  gated_.open_gate();
  start(2);
  EXPECT_TRUE(device_->lost().empty());
  EXPECT_EQ(clients_[0]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
  shoot(0);
  EXPECT_TRUE(attention());
  EXPECT_TRUE(becomes_lost(0));
  EXPECT_FALSE(device_->has_ended());
  EXPECT_EQ(device_->stats(0).state.load(), LaneState::lost);
  EXPECT_EQ(device_->age_when_lost(0), milliseconds{0});
  EXPECT_EQ(clients_[1]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);

  device_->replace(0, connection());
  EXPECT_TRUE(device_->lost().empty());
  EXPECT_EQ(clients_[2]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
  const auto& reads = device_->stats(0).commands[0].requests;
  EXPECT_TRUE(eventually([&] { return reads.get() == 2; }));  // it goes on
  EXPECT_EQ(device_->lost_connections(), 1U);
  EXPECT_EQ(device_->replaced_connections(), 1U);
  EXPECT_EQ(watched_.given_up, 1U);
}

TEST_F(DeviceLostTest, StartsWithALaneThatHasNoConnection) {
  DeviceOptions options;
  options.lane = small_lane();
  device_ = std::make_unique<Device>(memory_, options, log_.log());
  std::vector<FileDescriptor> sockets;
  sockets.push_back(connection());
  sockets.emplace_back();
  device_->start(std::move(sockets));
  EXPECT_TRUE(attention());
  EXPECT_TRUE(becomes_lost(1));
  EXPECT_EQ(device_->lost_connections(), 0U);
  device_->replace(1, connection());
  EXPECT_EQ(clients_[1]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
}

TEST_F(DeviceLostTest, KeepsACopyBehindTheWriteThatWasLost) {
  start(2);
  write(0, 2);
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 1; }));
  shoot(0);
  ASSERT_TRUE(becomes_lost(0));
  device_->replace(0, connection());
  constexpr std::uint32_t half = page / 2;
  // Two that overlap it, not each other, and on the lane's new connection one that does not.
  clients_[1]->send(make_request(nbd::cmd_write, 0, half), pattern(3, 0, half));
  clients_[2]->send(make_request(nbd::cmd_write, half, half), pattern(3, half, half));
  write(2, 4, size / 2);
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 2; }));
  EXPECT_TRUE(stays_silent(1));
  EXPECT_EQ(gated_.arrived(), 2U);  // the write that overlaps nothing
  gated_.open_gate();
  EXPECT_EQ(clients_[1]->reply().error, 0U);
  EXPECT_EQ(clients_[2]->reply().error, 0U);
  EXPECT_EQ(clients_[2]->reply().error, 0U);
  EXPECT_TRUE(holds(3));
  EXPECT_TRUE(holds(4, size / 2));
  EXPECT_EQ(device_->fenced_changes(), 2U);
}

TEST_F(DeviceLostTest, LetsReadsAndFlushesPassWhatWasLost) {
  start(2);
  write(0, 2);
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 1; }));
  shoot(0);
  ASSERT_TRUE(becomes_lost(0));
  // Beside it, for memory has no order for the bytes themselves; reads of them are simulated.
  clients_[1]->send(make_request(nbd::cmd_read, page, page));
  clients_[1]->send(make_request(nbd::cmd_flush, 0, 0));
  EXPECT_TRUE(eventually([&] { return gated_.arrived() == 3; }));
}

// The copy comes before the lane's end was noticed: the lane has other bytes to read before it.
TEST_F(DeviceLostTest, KeepsACopyBehindAWriteThatIsOldEnoughToBeShot) {
  start(2, milliseconds{40});
  write(0, 2);
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 1; }));
  std::this_thread::sleep_for(milliseconds{100});
  constexpr std::uint32_t half = page / 2;
  clients_[1]->send(make_request(nbd::cmd_write, half, half), pattern(3, half, half));
  EXPECT_TRUE(stays_silent(1));
  EXPECT_EQ(gated_.arrived(), 1U);
  EXPECT_TRUE(device_->lost().empty());
  clients_[0]->send(make_request(nbd::cmd_trim, 0, half));  // its own lane is not kept from it
  EXPECT_TRUE(eventually([&] { return gated_.arrived() == 2; }));
  gated_.open_gate();
  EXPECT_EQ(clients_[1]->reply().error, 0U);
}

// It lay in the socket while the connection was shot, so another copy may be done by now.
TEST_F(DeviceLostTest, DropsAnOldChangeOfAConnectionThatIsShut) {
  gated_.open_gate();
  start(1, milliseconds{40});
  EXPECT_EQ(clients_[0]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
  std::this_thread::sleep_for(milliseconds{100});
  // Both are there when the lane looks: it was asleep, which a parked lane is for us.
  ASSERT_TRUE(device_->pause(Clock::now() + std::chrono::seconds(10)));
  write(0, 9);
  shoot(0);
  device_->resume();
  EXPECT_TRUE(becomes_lost(0));
  EXPECT_FALSE(holds(9));
}

TEST_F(DeviceLostTest, TellsHowOldTheOldestRequestWas) {
  start(1);
  write(0, 2);
  ASSERT_TRUE(eventually([&] { return gated_.arrived() == 1; }));
  std::this_thread::sleep_for(milliseconds{30});
  shoot(0);
  ASSERT_TRUE(becomes_lost(0));
  EXPECT_GE(device_->age_when_lost(0), milliseconds{30});
  EXPECT_LT(device_->age_when_lost(0), std::chrono::seconds{20});
}

TEST_F(DeviceLostTest, HasNoMoreThanSoManyFormerConnectionsPerLane) {
  start(1);
  for (std::size_t i = 0; i < Device::draining_max; ++i) {
    ASSERT_TRUE(i == 0 || becomes_lost(0));
    if (i > 0) device_->replace(0, connection());
    clients_[i]->send(make_request(nbd::cmd_write, i * page, page), pattern(2, i * page, page));
    ASSERT_TRUE(eventually([&] { return gated_.arrived() == i + 1; }));
    shoot(i);
    ASSERT_TRUE(eventually([&] { return device_->lost_connections() == i + 1; }));
  }
  EXPECT_TRUE(device_->lost().empty());  // lost, and no room for one more
  EXPECT_FALSE(device_->pause(Clock::now() + milliseconds{10}));
  while (attention()) {
    if (device_->lost_connections() == Device::draining_max) break;
  }
  gated_.open_gate();
  EXPECT_TRUE(attention());
  EXPECT_TRUE(becomes_lost(0));
  device_->replace(0, connection());
  EXPECT_EQ(clients_.back()->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
}

TEST_F(DeviceLostTest, IsLostAgainWhereItCannotServeTheNewConnection) {
  gated_.open_gate();
  start(1);
  shoot(0);
  ASSERT_TRUE(becomes_lost(0));
  watched_.refuses = true;
  device_->replace(0, connection());
  EXPECT_TRUE(clients_[1]->reads_end());
  EXPECT_TRUE(becomes_lost(0));
  EXPECT_NE(log_.text().find("no way to the storage"), std::string::npos) << log_.text();
  watched_.refuses = false;
  device_->replace(0, connection());
  EXPECT_EQ(clients_[2]->call(make_request(nbd::cmd_read, 0, page)).error, 0U);
}

TEST_F(DeviceLostTest, EndsWhenTheDriverDisconnectsWhileALaneIsLost) {
  gated_.open_gate();
  start(2);
  shoot(0);
  ASSERT_TRUE(becomes_lost(0));
  clients_[1]->send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(eventually([&] { return device_->has_ended(); }));
  EXPECT_TRUE(device_->lost().empty());
}

}  // namespace
}  // namespace nbdring
