#include "cli/bench/load.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>

#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {
namespace {

// Bytes for the frames of all requests at once, through as many layers as there may be; touched as
// used.
constexpr std::size_t frame_slab = 4 * 1024 * 1024;

}  // namespace

class Load::Lane {
 public:
  Lane(Backend& backend, const LoadPlan& plan, const std::atomic<LoadPhase>& phase,
       std::atomic<unsigned>& living)
      : backend_(backend), plan_(plan), phase_(phase), living_(living), give_up_(*this) {
    thread_ = std::thread([this] { live(); });
  }
  ~Lane() { thread_.join(); }

  void give_up() noexcept {
    const std::lock_guard lock(control_);
    if (loop_ == nullptr || give_up_.is_posted) return;
    give_up_.is_posted = true;
    loop_->post(give_up_);
  }

  const LoadTally& tally() const { return tally_; }

 private:
  class GiveUp final : public Message {
   public:
    explicit GiveUp(Lane& lane) : lane_(lane) {}
    void deliver() noexcept override { lane_.work_->give_up(); }
    bool is_posted = false;

   private:
    Lane& lane_;
  };

  void live() {
    ::pthread_setname_np(::pthread_self(), ("bench-" + std::to_string(plan_.lane)).c_str());
    try {
      work();
    } catch (const std::exception& failure) {
      tally_.note(failure.what());
    }
    living_.fetch_sub(1);
  }

  void work() {
    LoopOptions options;
    options.frame_slab = frame_slab;
    Loop loop(options);
    const auto lane = backend_.open_lane(loop);
    LoadWork load(loop, *lane, plan_, phase_, tally_);
    publish(&loop, &load);
    loop.run(load.run());
    publish(nullptr, nullptr);
  }

  void publish(Loop* loop, LoadWork* load) {
    const std::lock_guard lock(control_);
    if (loop == nullptr && give_up_.is_posted) loop_->withdraw(give_up_);
    loop_ = loop;
    work_ = load;
  }

  Backend& backend_;
  const LoadPlan plan_;
  const std::atomic<LoadPhase>& phase_;
  std::atomic<unsigned>& living_;
  LoadTally tally_;
  std::mutex control_;  // guards what follows; never taken per request
  Loop* loop_ = nullptr;
  LoadWork* work_ = nullptr;
  GiveUp give_up_;
  std::thread thread_;  // last: it uses all of the above
};

Load::Load(Backend& backend, const LoadPlan& whole) : living_(whole.point.connections) {
  const unsigned lanes = whole.point.connections;
  ENSURE(lanes > 0 && whole.blocks >= lanes);
  for (unsigned i = 0; i < lanes; ++i) {
    const std::uint64_t each = whole.blocks / lanes;
    LoadPlan part = whole;
    part.lane = i;
    part.offset += i * each * whole.point.block_size;
    part.blocks = i + 1 < lanes ? each : whole.blocks - i * each;
    lanes_.push_back(std::make_unique<Lane>(backend, part, phase_, living_));
  }
}

Load::~Load() = default;

void Load::give_up() noexcept {
  for (const auto& lane : lanes_) lane->give_up();
}

LoadProgress Load::progress() const {
  LoadProgress sum;
  for (const auto& lane : lanes_) {
    const LoadTally& tally = lane->tally();
    sum.answered += tally.answered.get();
    sum.requests += tally.requests.get();
    sum.bytes += tally.bytes.get();
    sum.verified += tally.verified.get();
  }
  return sum;
}

void Load::report(BenchResult& result) const {
  std::vector<const LatencyRecord*> records;
  for (const auto& lane : lanes_) {
    const LoadTally& tally = lane->tally();
    result.requests += tally.requests.get();
    result.bytes += tally.bytes.get();
    result.errors += tally.errors.get();
    result.verified += tally.verified.get();
    result.wrong += tally.wrong.get();
    records.push_back(&tally.latencies);
    if (result.trouble.empty()) result.trouble = tally.trouble();
  }
  result.latencies = summary_of(records);
}

}  // namespace nbdring
