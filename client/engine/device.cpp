#include "client/engine/device.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/engine/device_connection.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds close_patience{5};  // for all lanes to close their backends

}  // namespace

Device::Device(Backend& backend, const DeviceOptions& options, Log& log)
    : backend_(backend),
      options_(options),
      log_(log),
      attention_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!attention_.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
}

Device::~Device() {
  stop();
  await_end();
  lanes_.clear();  // joins
}

// A lane that waits for a remote that is away would wait for ever.
void Device::await_end() noexcept {
  std::unique_lock lock(told_);
  const auto over = [this] { return is_over(); };
  if (changed_.wait_for(lock, close_patience, over)) return;
  backend_.abandon();
  changed_.wait(lock, over);
}

void Device::start(std::vector<FileDescriptor> sockets) {
  ENSURE(lanes_.empty() && !sockets.empty());
  ending_ = false;
  fence_ = std::make_unique<Fence>(sockets.size(), options_.suspect_after);
  try {
    start_lanes(std::move(sockets));
  } catch (...) {
    stop();  // nobody is served by half a device
    lanes_.clear();
    throw;
  }
}

void Device::start_lanes(std::vector<FileDescriptor> sockets) {
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    lanes_.push_back(std::make_unique<DeviceLane>(i));
  }
  bool lacks_some = false;
  for (const auto& lane : lanes_) {
    FileDescriptor& socket = sockets[lane->index];
    lacks_some = lacks_some || !socket.is_open();
    if (socket.is_open()) {
      connect(*lane, std::move(socket), false);
    } else {
      lane->stats.state = LaneState::lost;
    }
  }
  std::unique_lock lock(told_);
  for (const auto& lane : lanes_) {
    const auto& connection = lane->connection;
    if (!connection) continue;
    changed_.wait(lock, [&] { return connection->state() != Connection::State::starting; });
    if (connection->failure()) std::rethrow_exception(connection->failure());
  }
  if (lacks_some) raise_attention();
}

void Device::connect(DeviceLane& lane, FileDescriptor socket, bool is_replacement) {
  {
    const std::lock_guard lock(told_);
    ++running_;
  }
  try {
    lane.connection = std::make_unique<Connection>(*this, lane, std::move(socket), is_replacement);
  } catch (...) {
    const std::lock_guard lock(told_);
    --running_;
    throw;
  }
}

void Device::raise_attention() noexcept {
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(attention_.get(), &one, sizeof one);
}

std::size_t Device::draining(const DeviceLane& lane) const {
  const auto drains = [](const auto& connection) {
    return connection && connection->is_draining();
  };
  const auto former = std::count_if(lane.former.begin(), lane.former.end(), drains);
  return static_cast<std::size_t>(former) + (drains(lane.connection) ? 1 : 0);
}

bool Device::is_over() const { return ending_ && running_ == 0; }

bool Device::is_lost(const DeviceLane& lane) const {
  return !lane.connection || lane.connection->is_draining() || !lane.connection->is_running();
}

bool Device::has_ended() const {
  const std::lock_guard lock(told_);
  return is_over();
}

std::vector<std::size_t> Device::lost() const {
  const std::lock_guard lock(told_);
  std::vector<std::size_t> lost;
  for (const auto& lane : lanes_) {
    const bool has_room = draining(*lane) < draining_max;
    if (!ending_ && is_lost(*lane) && has_room) lost.push_back(lane->index);
  }
  return lost;
}

std::size_t Device::without_connection() const {
  const std::lock_guard lock(told_);
  const auto count = std::count_if(lanes_.begin(), lanes_.end(),
                                   [this](const auto& lane) { return is_lost(*lane); });
  return static_cast<std::size_t>(count);
}

void Device::replace(std::size_t index, FileDescriptor socket) {
  ENSURE(index < lanes_.size() && socket.is_open());
  DeviceLane& lane = *lanes_[index];
  std::vector<std::unique_ptr<Connection>> over;  // joined with the lock released
  {
    const std::lock_guard lock(told_);
    ENSURE(is_lost(lane) && draining(lane) < draining_max);
    if (lane.connection) lane.former.push_back(std::move(lane.connection));
    const auto ended =
        std::partition(lane.former.begin(), lane.former.end(),
                       [](const auto& connection) { return connection->is_running(); });
    std::move(ended, lane.former.end(), std::back_inserter(over));
    lane.former.erase(ended, lane.former.end());
  }
  connect(lane, std::move(socket), true);
  ++replaced_connections_;
}

std::chrono::milliseconds Device::age_when_lost(std::size_t lane) const {
  ENSURE(lane < lanes_.size());
  return std::chrono::milliseconds(lanes_[lane]->age_when_lost);
}

bool Device::await_lanes(std::unique_lock<std::mutex>& lock, bool parked,
                         Clock::time_point deadline) {
  const auto wanted = parked ? Connection::State::parked : Connection::State::serving;
  bool is_late = false;
  for (;;) {
    bool all = true;
    for (const auto& lane : lanes_) {
      if (ending_ || is_lost(*lane)) return false;
      all = all && lane->connection->state() == wanted && draining(*lane) == 0;
    }
    if (all || is_late) return all;
    is_late = changed_.wait_until(lock, deadline) == std::cv_status::timeout;
  }
}

bool Device::pause(Clock::time_point deadline) {
  std::unique_lock lock(told_);
  if (!await_lanes(lock, false, deadline)) return false;
  for (const auto& lane : lanes_) lane->connection->ask(Connection::Wish::pause);
  if (await_lanes(lock, true, deadline)) return true;
  lock.unlock();
  resume();
  return false;
}

void Device::resume() {
  for (const auto& lane : lanes_) {
    if (lane->connection) lane->connection->ask(Connection::Wish::serve);
  }
}

std::vector<FileDescriptor> Device::take_sockets() {
  {
    const std::lock_guard lock(told_);
    ending_ = true;
    for (const auto& lane : lanes_) {
      ENSURE(lane->connection->state() == Connection::State::parked);
      lane->connection->ask(Connection::Wish::hand_on);
    }
  }
  await_end();
  std::vector<FileDescriptor> sockets;
  for (const auto& lane : lanes_) sockets.push_back(lane->connection->take_socket());
  return sockets;
}

void Device::stop() noexcept {
  const std::lock_guard lock(told_);
  ending_ = true;
  for (const auto& lane : lanes_) {
    if (lane->connection) lane->connection->shut_down();
  }
  if (is_over()) raise_attention();
}

const LaneStats& Device::stats(std::size_t lane) const {
  ENSURE(lane < lanes_.size());
  return lanes_[lane]->stats;
}

}  // namespace nbdring
