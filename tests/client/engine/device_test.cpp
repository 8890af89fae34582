#include "client/engine/device.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <thread>
#include <vector>

#include "backends/file.hpp"
#include "backends/memory.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 1024 * 1024;

// What one lane wrote and another reads goes through the kernel here: with the memory backend the
// order would hang on sockets, which the thread sanitizer cannot see.
struct SharedFile {
  TemporaryFile file{size};
  CapturedLog log;
  FileBackend backend{FileSpec{.path = file.path()}, log.log()};
};

// A backend whose lane number `broken` cannot be opened.
class BrokenBackend final : public Backend {
 public:
  explicit BrokenBackend(std::size_t broken) : broken_(broken) {}

  const Export& about() const override { return memory_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    if (opened_++ == broken_) throw Failure(FailureKind::unreachable, "no way to the storage");
    return memory_.open_lane(loop);
  }

 private:
  MemoryBackend memory_{size};
  std::size_t broken_;
  std::atomic<std::size_t> opened_{0};
};

class DeviceTest : public testing::Test {
 protected:
  std::vector<FileDescriptor> sockets(std::size_t lanes) {
    std::vector<FileDescriptor> near;
    for (std::size_t i = 0; i < lanes; ++i) {
      SocketPair pair;
      near.push_back(std::move(pair.near));
      clients_.push_back(std::make_unique<BlockingClient>(std::move(pair.far)));
    }
    return near;
  }

  static DeviceOptions options() {
    DeviceOptions options;
    options.lane = small_lane();
    options.lane.slots = 8;
    return options;
  }

  static bool is_readable(int fd, int milliseconds) {
    pollfd set{fd, POLLIN, 0};
    return ::poll(&set, 1, milliseconds) == 1;
  }

  CapturedLog log_;
  MemoryBackend memory_{size};
  std::vector<std::unique_ptr<BlockingClient>> clients_;
};

TEST_F(DeviceTest, ServesEveryLaneOverOneBackend) {
  SharedFile file;
  Device device(file.backend, options(), log_.log());
  device.start(sockets(4));
  ASSERT_EQ(device.lanes(), 4U);
  for (std::uint64_t i = 0; i < 4; ++i) {
    const auto data = pattern(i + 1, i * 4096, 4096);
    EXPECT_EQ(clients_[i]->call(make_request(nbd::cmd_write, i * 4096, 4096), data).error, 0U);
  }
  for (std::uint64_t i = 0; i < 4; ++i) {
    const ClientReply reply = clients_[3 - i]->call(make_request(nbd::cmd_read, i * 4096, 4096));
    EXPECT_TRUE(matches_pattern(reply.data, i + 1, i * 4096)) << i;
    EXPECT_EQ(device.stats(i).state.load(), LaneState::serving);
  }
}

// Writes and reads back the lane's own part of the export, several requests at once.
void work(BlockingClient& client, std::uint64_t begin, std::uint64_t bytes) {
  constexpr std::uint32_t length = 8192;
  constexpr std::size_t depth = 6;
  for (std::uint64_t round = 1; round <= 10; ++round) {
    for (const std::uint16_t command : {nbd::cmd_write, nbd::cmd_flush, nbd::cmd_read}) {
      const std::uint64_t step = command == nbd::cmd_flush ? bytes : length;
      for (std::uint64_t at = begin; at < begin + bytes; at += step) {
        const bool has_range = command != nbd::cmd_flush;
        const bool has_payload = command == nbd::cmd_write;
        client.send(make_request(command, has_range ? at : 0, has_range ? length : 0),
                    pattern(round, at, has_payload ? length : 0));
        while (client.side().outstanding().size() >= depth) {
          const ClientReply reply = client.reply();
          EXPECT_EQ(reply.error, 0U);
          EXPECT_TRUE(matches_pattern(reply.data, round, reply.request.offset));
        }
      }
      while (!client.side().outstanding().empty()) {
        const ClientReply reply = client.reply();
        EXPECT_EQ(reply.error, 0U);
        EXPECT_TRUE(matches_pattern(reply.data, round, reply.request.offset));
      }
    }
  }
}

TEST_F(DeviceTest, KeepsEveryLanesDataRightUnderLoad) {
  SharedFile file;
  Device device(file.backend, options(), log_.log());
  device.start(sockets(4));
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] { work(*clients_[i], i * size / 4, size / 4); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(DeviceTest, TellsWhenTheLastLaneHasEnded) {
  Device device(memory_, options(), log_.log());
  device.start(sockets(2));
  EXPECT_FALSE(device.has_ended());
  clients_[0]->send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(clients_[0]->reads_end());
  EXPECT_FALSE(is_readable(device.attention_fd(), 30));
  clients_[1]->send(make_request(nbd::cmd_disc, 0, 0));
  EXPECT_TRUE(is_readable(device.attention_fd(), 10'000));
  EXPECT_TRUE(device.has_ended());
  EXPECT_EQ(device.stats(0).state.load(), LaneState::ended);
  EXPECT_EQ(log_.text(), "");
}

TEST_F(DeviceTest, FinishesWhatIsInFlightWhenItIsStopped) {
  GatedBackend gated(memory_);
  {
    Device device(gated, options(), log_.log());
    device.start(sockets(2));
    for (std::uint64_t i = 0; i < 2; ++i) {
      clients_[i]->send(make_request(nbd::cmd_write, i * 4096, 4096), pattern(7, i * 4096, 4096));
    }
    EXPECT_TRUE(eventually([&gated] { return gated.arrived() == 2; }));
    device.stop();
    EXPECT_FALSE(is_readable(device.attention_fd(), 30));
    gated.open_gate();
    EXPECT_TRUE(is_readable(device.attention_fd(), 10'000));
    device.stop();  // again, with nobody there
  }
  EXPECT_TRUE(matches_pattern(memory_.bytes().first(8192), 7, 0));
}

TEST_F(DeviceTest, LogsALaneThatLostTheDriver) {
  Device device(memory_, options(), log_.log());
  device.start(sockets(1));
  clients_[0]->send_raw(std::vector<std::byte>(10));
  clients_[0]->close_writing();
  EXPECT_TRUE(is_readable(device.attention_fd(), 10'000));
  EXPECT_NE(log_.text().find("lane=0"), std::string::npos) << log_.text();
}

TEST_F(DeviceTest, DoesNotStartWhenALaneCannot) {
  for (std::size_t broken = 0; broken < 3; ++broken) {
    BrokenBackend backend(broken);
    Device device(backend, options(), log_.log());
    clients_.clear();
    try {
      device.start(sockets(3));
      ADD_FAILURE() << "started with a broken lane";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::unreachable);
      EXPECT_STREQ(failure.what(), "no way to the storage");
    }
    // The others have been stopped: nobody serves half a device.
    for (const auto& client : clients_) EXPECT_TRUE(client->reads_end());
    EXPECT_TRUE(device.has_ended());
  }
}

TEST_F(DeviceTest, StopsByItselfWhenItGoesAway) {
  {
    Device device(memory_, options(), log_.log());
    device.start(sockets(3));
  }
  for (const auto& client : clients_) EXPECT_TRUE(client->reads_end());
}

TEST_F(DeviceTest, StopsRightAfterTheStart) {
  for (int i = 0; i < 20; ++i) {
    Device device(memory_, options(), log_.log());
    device.start(sockets(2));
    device.stop();
    EXPECT_TRUE(is_readable(device.attention_fd(), 10'000));
  }
}

}  // namespace
}  // namespace nbdring
