#include "backends/nbd/backend.hpp"

#include <pthread.h>

#include <utility>

#include "backends/nbd/shape_rules.hpp"
#include "client/engine/lane_thread.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Bytes for the frames of the requests of all lanes, where the keeper's connection carries them;
// touched as used.
constexpr std::size_t frame_slab = 8 * 1024 * 1024;

Export read_only(Export about) {
  constexpr std::uint16_t writing =
      nbd::flag_send_trim | nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero;
  about.transmission_flags |= nbd::flag_read_only;
  about.transmission_flags &= static_cast<std::uint16_t>(~writing);
  return about;
}

}  // namespace

NbdBackend::NbdBackend(std::unique_ptr<ConnectionSource> source, const RemoteOptions& options,
                       Log& log)
    : source_(std::move(source)), options_(options), log_(log), remote_(options_, log_) {
  std::promise<void> started;
  auto start = started.get_future();
  thread_ = std::thread([this, owned = std::move(started)]() mutable { keep(std::move(owned)); });
  try {
    start.get();
  } catch (...) {
    thread_.join();
    throw;
  }
  about_ = presented(remote_.identity());
  if (options_.read_only) about_ = read_only(about_);
}

NbdBackend::~NbdBackend() {
  BackendHealth left = remote_.health();
  // The lanes are gone. What they could not make durable nobody waits for any more.
  if (left.state != "serving" || left.volatile_writes > 0) remote_.abandon();
  keeper_->stop();
  may_end_.set_value();
  thread_.join();
  left = remote_.health();
  if (left.volatile_writes > 0) {
    log_.say(LogLevel::error,
             std::to_string(left.volatile_writes) + " acknowledged writes (" +
                 std::to_string(left.volatile_bytes) + " bytes) may be lost",
             left.last_reason);
  }
}

std::unique_ptr<BackendLane> NbdBackend::open_lane(Loop& loop) {
  if (Carrier* const carrier = remote_.carrier()) return std::make_unique<HandOver>(loop, *carrier);
  return std::make_unique<NbdLane>(loop, *source_, remote_, options_);
}

BackendHealth NbdBackend::health() const {
  BackendHealth health = remote_.health();
  health.is_shared = remote_.carrier() != nullptr;
  return health;
}

// The keeper's thread. Its loop and the keeper live until nobody can call them.
void NbdBackend::keep(std::promise<void> started) {
  ::pthread_setname_np(::pthread_self(), "nbdring-keeper");
  try {
    if (options_.io_flusher) become_io_flusher();
    LoopOptions loop_options;
    loop_options.frame_slab = frame_slab;
    loop_ = std::make_unique<Loop>(loop_options);
    keeper_ = std::make_unique<Keeper>(*loop_, *source_, remote_, options_, log_);
    loop_->run(keeper_->start());
  } catch (...) {
    keeper_.reset();
    loop_.reset();
    started.set_exception(std::current_exception());
    return;
  }
  started.set_value();
  loop_->run(keeper_->run());
  may_end_.get_future().wait();
  keeper_.reset();
  loop_.reset();
}

}  // namespace nbdring
