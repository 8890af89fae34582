#include "client/engine/device_connection.hpp"

#include "client/runtime/error.hpp"

namespace nbdring {

Device::Connection::Connection(Device& device, DeviceLane& lane, FileDescriptor socket,
                               bool is_replacement)
    : device_(device),
      lane_(lane),
      is_replacement_(is_replacement),
      thread_(
          {"nbdring-lane" + std::to_string(lane.index), device.options_.io_flusher},
          std::move(socket),
          [this](Loop& loop, SocketStream& stream) { return serve(loop, stream); },
          [this](const std::exception_ptr& failure) { ended(failure); }) {}

Device::Connection::~Connection() = default;

void Device::Connection::become(State state) noexcept {
  const std::lock_guard lock(device_.told_);
  state_ = state;
  device_.changed_.notify_all();
}

Task<void> Device::Connection::serve(Loop& loop, SocketStream& stream) {
  const auto backend = device_.backend_.open_lane(loop);
  {
    FenceLane fence(*device_.fence_, lane_.index, loop);
    const TransmissionOptions simple_replies{};  // all that the driver knows
    const LaneCompany company{this, &fence};
    Lane lane(loop, stream, *backend, device_.backend_.about(), simple_replies,
              device_.options_.lane, lane_.stats, company);
    serving_ = &lane;
    become(State::serving);
    const LaneEnd end = co_await lane.run();
    serving_ = nullptr;
    if (end.is_handed_on) handed_on_ = stream.take();
  }
  co_await close(*backend);
}

Task<void> Device::Connection::close(BackendLane& backend) {
  const Status closed = co_await backend.close();
  if (closed.is_ok()) co_return;
  device_.log_.error(
      "what a lane wrote may not be on stable storage",
      {{"lane", std::to_string(lane_.index)}, {"reason", error_text(closed.error())}});
}

void Device::Connection::say_end(const LaneEnd& end) {
  const std::string reason = end.reason.empty() ? "it was shut down" : end.reason;
  device_.log_.error("a lane lost the driver",
                     {{"lane", std::to_string(lane_.index)}, {"reason", reason}});
}

void Device::Connection::say_failure() {
  try {
    std::rethrow_exception(failure_);
  } catch (const std::exception& error) {
    device_.log_.error("a lane cannot serve its new connection",
                       {{"lane", std::to_string(lane_.index)}, {"reason", error.what()}});
  }
}

bool Device::Connection::is_lost(const LaneEnd& end) noexcept {
  {
    const std::lock_guard lock(device_.told_);
    if (end.is_disconnect) device_.ending_ = true;
    was_lost_ = !device_.ending_;
  }
  if (was_lost_ || !end.is_orderly) say_end(end);
  return was_lost_;
}

void Device::Connection::lost(Clock::duration oldest) noexcept {
  lane_.age_when_lost = std::chrono::duration_cast<std::chrono::milliseconds>(oldest).count();
  ++device_.lost_connections_;
  become(State::draining);
  device_.raise_attention();
}

bool Device::Connection::is_parked() const noexcept {
  const std::lock_guard lock(device_.told_);
  return state_ == State::parked;
}

void Device::Connection::deliver() noexcept {
  is_posted_ = false;
  if (serving_ == nullptr) return;
  switch (wish_.load()) {
    case Wish::serve:
      if (is_parked()) become(State::serving);
      return serving_->resume();
    case Wish::pause:
      return serving_->pause();
    case Wish::hand_on:
      return serving_->hand_on();
  }
}

void Device::Connection::ask(Wish wish) noexcept {
  wish_ = wish;
  if (!is_posted_.exchange(true)) thread_.post(*this);
}

void Device::Connection::ended(const std::exception_ptr& failure) {
  const std::lock_guard lock(device_.told_);
  ENSURE(!failure || state_ == State::starting);  // a lane that serves does not throw
  failure_ = failure;
  if (failure && is_replacement_) say_failure();
  if (!was_lost_) lane_.stats.state = failure ? LaneState::lost : LaneState::ended;
  state_ = State::ended;
  --device_.running_;
  device_.changed_.notify_all();
  if (was_lost_ || is_replacement_ || device_.is_over()) device_.raise_attention();
}

}  // namespace nbdring
