#include "backends/layers/rate.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "backends/layers/layers_request.hpp"

namespace nbdring {
namespace {

using std::chrono::nanoseconds;

// Slower, a request of 32 MiB takes most of a day, and times in nanoseconds could overflow.
constexpr std::uint64_t slowest = 512;  // bytes per second
constexpr nanoseconds burst{std::chrono::seconds(1) / 8};

/// Any thread.
class Bucket {
 public:
  explicit Bucket(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  /// When these bytes may go; those of who asks later go later.
  Clock::time_point turn_of(std::uint64_t bytes) noexcept {
    const auto cost = static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / rate_);
    const std::int64_t earliest = (Clock::now().time_since_epoch() - burst).count();
    std::int64_t next = next_;
    while (!next_.compare_exchange_weak(next, std::max(next, earliest) + cost)) {
    }
    return Clock::time_point(nanoseconds(std::max(next, earliest)));
  }

 private:
  const double rate_;
  std::atomic<std::int64_t> next_{0};  // nanoseconds of the Clock
};

class RateLane final : public RequestLane {
 public:
  RateLane(std::unique_ptr<BackendLane> under, Loop& loop, Bucket& bucket, const Patience& patience)
      : RequestLane(std::move(under)), loop_(loop), bucket_(bucket), patience_(patience) {}

 private:
  Task<Status> handle(BackendRequest request) override {
    const bool has_payload =
        request.kind == BackendRequest::Kind::read || request.kind == BackendRequest::Kind::write;
    return has_payload ? handle_in_turn(request) : perform(below(), request);
  }
  Task<Status> handle_in_turn(BackendRequest request) {
    const auto when = bucket_.turn_of(request.length);
    const Status waited = co_await patience_.last_until(loop_, when, is_given_up());
    if (!waited.is_ok()) co_return waited;
    co_return co_await perform(below(), request);
  }

  Loop& loop_;
  Bucket& bucket_;
  const Patience& patience_;
};

class RateBackend final : public LayerBackend {
 public:
  RateBackend(std::unique_ptr<Backend> under, std::uint64_t bytes_per_second)
      : LayerBackend(std::move(under)), bucket_(bytes_per_second) {}
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<RateLane>(below().open_lane(loop), loop, bucket_, patience_);
  }
  void abandon() noexcept override {
    patience_.abandon();
    LayerBackend::abandon();
  }

 private:
  Bucket bucket_;
  Patience patience_;
};

}  // namespace

std::unique_ptr<Backend> make_rate_layer(std::unique_ptr<Backend> below,
                                         const LayerArgument& argument, Log&) {
  std::string text = argument.text();
  if (text.ends_with("/s")) text.resize(text.size() - 2);
  const std::uint64_t rate = argument.bytes(text);
  if (rate < slowest) argument.refuse("less than " + std::to_string(slowest) + " bytes a second");
  return std::make_unique<RateBackend>(std::move(below), rate);
}

}  // namespace nbdring
