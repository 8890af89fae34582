#include "client/engine/device.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <utility>

#include "client/engine/lane_thread.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr int close_patience = 5'000;  // milliseconds, for all lanes to close their backends

}  // namespace

/// A lane, its thread, and what its owner knows of it.
struct Device::DeviceLane {
  DeviceLane(Device& its_device, std::size_t its_index) : device(its_device), index(its_index) {}

  Task<void> serve(Loop& loop, Stream& stream) {
    const auto backend = device.backend_.open_lane(loop);
    const TransmissionOptions simple_replies{};  // all that the driver knows
    Lane lane(loop, stream, *backend, device.backend_.about(), simple_replies, device.options_.lane,
              stats);
    is_started = true;
    started.set_value();
    const LaneEnd end = co_await lane.run();
    if (!end.is_orderly) {
      device.log_.error("a lane lost the driver",
                        {{"lane", std::to_string(index)}, {"reason", end.reason}});
    }
    const Status closed = co_await backend->close();
    if (!closed.is_ok()) {
      device.log_.error("what a lane wrote may not be on stable storage",
                        {{"lane", std::to_string(index)}, {"reason", error_text(closed.error())}});
    }
  }

  void ended(const std::exception_ptr& failure) {
    stats.state = LaneState::ended;
    if (failure) {
      ENSURE(!is_started);  // a lane that serves does not throw
      started.set_exception(failure);
    }
    device.lane_ended();
  }

  Device& device;
  std::size_t index;
  LaneStats stats;
  std::promise<void> started;
  bool is_started = false;  // the lane's thread only
  std::unique_ptr<LaneThread> thread;
};

Device::Device(Backend& backend, const DeviceOptions& options, Log& log)
    : backend_(backend),
      options_(options),
      log_(log),
      attention_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!attention_.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
}

Device::~Device() {
  stop();
  // A lane that waits for a remote that is away would wait for ever.
  pollfd ended{attention_.get(), POLLIN, 0};
  if (!has_ended() && ::poll(&ended, 1, close_patience) == 0) backend_.abandon();
  lanes_.clear();  // joins
}

void Device::start_lanes(std::vector<FileDescriptor> sockets) {
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    lanes_.push_back(std::make_unique<DeviceLane>(*this, i));
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    DeviceLane& lane = *lanes_[i];
    const LaneThreadOptions options{"nbdring-lane" + std::to_string(i), options_.io_flusher};
    lane.thread = std::make_unique<LaneThread>(
        options, std::move(sockets[i]),
        [&lane](Loop& loop, Stream& stream) { return lane.serve(loop, stream); },
        [&lane](const std::exception_ptr& failure) { lane.ended(failure); });
  }
  for (const auto& lane : lanes_) lane->started.get_future().get();
}

void Device::start(std::vector<FileDescriptor> sockets) {
  ENSURE(lanes_.empty() && !sockets.empty());
  serving_ = sockets.size();
  try {
    start_lanes(std::move(sockets));
  } catch (...) {
    stop();  // nobody is served by half a device
    lanes_.clear();
    serving_ = 0;
    throw;
  }
}

void Device::lane_ended() noexcept {
  if (serving_.fetch_sub(1) != 1) return;
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(attention_.get(), &one, sizeof one);
}

bool Device::has_ended() const { return serving_ == 0; }

void Device::stop() noexcept {
  for (const auto& lane : lanes_) {
    if (lane->thread) lane->thread->shut_down();
  }
}

std::vector<std::size_t> Device::lost() const { return {}; }

void Device::replace(std::size_t lane, FileDescriptor) { ENSURE(lane < lanes_.size()); }

std::chrono::milliseconds Device::age_when_lost(std::size_t lane) const {
  ENSURE(lane < lanes_.size());
  return std::chrono::milliseconds{0};
}

bool Device::pause(Clock::time_point) { return false; }

void Device::resume() {}

std::vector<FileDescriptor> Device::take_sockets() { return {}; }

const LaneStats& Device::stats(std::size_t lane) const {
  ENSURE(lane < lanes_.size());
  return lanes_[lane]->stats;
}

}  // namespace nbdring
