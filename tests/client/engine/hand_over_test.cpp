#include "client/engine/hand_over.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <future>
#include <list>
#include <thread>

#include "backends/memory.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/gated_backend.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size = 4 * 1024 * 1024;

/// What is with the inner lane cannot be called back; what comes later is not carried out.
class Shared final : public SharedLane {
 public:
  explicit Shared(BackendLane& inner) : inner_(inner) {}

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return inner_.read(offset, buffer);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return inner_.write(offset, buffer, fua);
  }
  Task<Status> flush() override { return inner_.flush(); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return inner_.trim(offset, length, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return inner_.write_zeroes(offset, length, mode);
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return inner_.extents(offset, length, list);
  }
  Task<Status> serve(BackendRequest request, const bool& is_given_up) override {
    return is_given_up ? cancel() : perform(inner_, request);
  }
  void look_again() noexcept override { ++looked_again; }
  FramePool& frames() override { return inner_.frames(); }

  std::atomic<unsigned> looked_again{0};

 private:
  Task<Status> cancel() { co_return Status::from_errno(ECANCELED); }
  BackendLane& inner_;
};

/// A backend of which there is only one lane, on a thread of its own.
class OneLaneBackend final : public Backend {
 public:
  explicit OneLaneBackend(Backend& inner) : inner_(inner) {
    std::promise<void> started;
    auto start = started.get_future();
    thread_ = std::thread([this, &started] {
      Loop loop;
      loop.run(serve(loop, started));
    });
    start.get();
  }
  ~OneLaneBackend() override {
    loop_->post(end_);
    thread_.join();
  }

  const Export& about() const override { return inner_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<HandOver>(loop, *carrier_);
  }
  unsigned looked_again() const { return shared_->looked_again; }

 private:
  class End final : public Message {
   public:
    void deliver() noexcept override { event.raise(); }
    Event event;
  };

  Task<void> serve(Loop& loop, std::promise<void>& started) {
    const auto lane = inner_.open_lane(loop);
    Shared shared(*lane);
    shared_ = &shared;
    Carrier carrier(loop, shared);
    carrier_ = &carrier;
    loop_ = &loop;
    started.set_value();
    co_await end_.event.wait();
    co_await carrier.drain();
  }

  Backend& inner_;
  Loop* loop_ = nullptr;
  Carrier* carrier_ = nullptr;
  Shared* shared_ = nullptr;
  End end_;
  std::thread thread_;
};

LaneOptions lane_of(std::size_t slots) {
  LaneOptions options = small_lane();
  options.slots = slots;
  return options;
}

TEST(HandOver, CarriesRequestsOfManyLanesAndBringsTheAnswersBack) {
  MemoryBackend memory(size);
  OneLaneBackend backend(memory);
  std::list<LaneFixture> lanes;
  for (int i = 0; i < 3; ++i) lanes.emplace_back(backend, lane_of(8));
  std::uint64_t number = 0;
  for (int round = 0; round < 50; ++round) {
    for (LaneFixture& lane : lanes) {
      ++number;
      const std::uint64_t offset = number * 4096;
      const auto bytes = pattern(number, offset, 4096);
      lane.client().send(make_request(nbd::cmd_write, offset, 4096), bytes);
    }
    for (LaneFixture& lane : lanes) EXPECT_EQ(lane.client().reply().error, 0U);
  }
  for (std::uint64_t i = 1; i <= number; ++i) {
    const auto reply = lanes.front().client().call(make_request(nbd::cmd_read, i * 4096, 4096));
    EXPECT_TRUE(matches_pattern(reply.data, i, i * 4096));
  }
}

// A lane that has one slot begins its next request while the loop's turn ends.
TEST(HandOver, NothingIsLeftBehindAtTheEndOfATurn) {
  MemoryBackend memory(size);
  OneLaneBackend backend(memory);
  LaneFixture lane(backend, lane_of(1));
  for (int i = 0; i < 20; ++i) lane.client().send(make_request(nbd::cmd_read, 0, 512));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(lane.client().reply().error, 0U);
}

TEST(HandOver, RequestsAreUnderWayTogether) {
  MemoryBackend memory(size);
  GatedBackend gated(memory);
  OneLaneBackend backend(gated);
  LaneFixture lane(backend, lane_of(8));
  for (int i = 0; i < 8; ++i) lane.client().send(make_request(nbd::cmd_read, 0, 512));
  EXPECT_TRUE(eventually([&] { return gated.arrived() == 8; }));
  gated.open_gate();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(lane.client().reply().error, 0U);
}

TEST(HandOver, PassesErrorsOn) {
  MemoryBackend memory(size);
  OneLaneBackend backend(memory);
  LaneFixture lane(backend, lane_of(2));
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_flush, 0, 0)).error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_trim, 0, 4096)).error, 0U);
  EXPECT_EQ(lane.client().call(make_request(nbd::cmd_write_zeroes, 0, 4096)).error, 0U);
}

Task<void> read_into(Loop&, BackendLane& lane, std::span<std::byte> buffer, Status& status) {
  status = co_await lane.read(0, buffer);
}

TEST(HandOver, TellsTheCarrierThatItIsGivenUp) {
  MemoryBackend memory(size);
  GatedBackend gated(memory);
  OneLaneBackend backend(gated);
  const auto script = [&](Loop& loop) -> Task<void> {
    const auto lane = backend.open_lane(loop);
    std::vector<std::byte> bytes(512);
    Status status = Status::from_errno(EINPROGRESS);
    Scope scope(loop.frames());
    scope.spawn(read_into(loop, *lane, bytes, status));
    for (int i = 0; i < 2000 && gated.arrived() == 0; ++i) {
      co_await loop.sleep(std::chrono::milliseconds(1));
    }
    lane->give_up();
    lane->give_up();
    for (int i = 0; i < 2000 && backend.looked_again() == 0; ++i) {
      co_await loop.sleep(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(backend.looked_again(), 1U);
    EXPECT_EQ(status.error(), EINPROGRESS);
    gated.open_gate();
    co_await scope.join();
    EXPECT_TRUE(status.is_ok()) << "it had begun";
    const Status closed = co_await lane->close();
    EXPECT_TRUE(closed.is_ok());
    EXPECT_EQ(gated.arrived(), 1U) << "nothing was flushed for it";
  };
  Loop loop;
  loop.run(script(loop));
}

TEST(HandOver, AllocatesNothingPerRequest) {
  MemoryBackend memory(size);
  OneLaneBackend backend(memory);
  LaneFixture lane(backend, lane_of(8));
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(lane.client().call(make_request(nbd::cmd_read, 0, 4096)).error, 0U);
  }
  lane.client().close();
  lane.end();
  EXPECT_EQ(lane.frame_fallbacks(), 0U);
}

}  // namespace
}  // namespace nbdring
