#include "tests/simulation/driver_world.hpp"

#include <algorithm>
#include <array>

#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t block = 512;
constexpr std::size_t draining_max = 4;
constexpr std::uint64_t idle_turns_max = 20'000;  // a quarter of an hour
constexpr std::chrono::seconds timeout{6};        // the driver's

}  // namespace

/// A lane with one connection.
class DriverWorld::LaneOfEngine final : public LaneWatcher {
 public:
  LaneOfEngine(DriverWorld& its_world, std::size_t its_index, SimulatedStream& its_stream,
               Fence& its_fence)
      : world(its_world), index(its_index), stream(its_stream), fence(its_fence) {}

  bool is_lost(const LaneEnd& end) noexcept override {
    if (!end.is_disconnect && world.driver_->is_connected(index)) {
      world.report_.failed("a lane gave its connection up: " + end.reason);
    }
    return !end.is_disconnect && !world.is_ending_;
  }
  void lost(Clock::duration) noexcept override {
    world.trace("lane " + std::to_string(index) + " is lost");
    drains = true;
    world.present_[index] = nullptr;
  }
  void parked() noexcept override { is_parked = true; }

  DriverWorld& world;
  const std::size_t index;
  SimulatedStream& stream;
  Fence& fence;
  LaneStats stats;
  Lane* lane = nullptr;  // while it runs
  bool drains = false;
  bool is_parked = false;
  bool was_handed_on = false;
  bool is_over = false;
};

DriverWorld::DriverWorld(std::uint64_t seed, Report report)
    : random_(seed), report_(std::move(report)) {
  static constexpr std::array<std::size_t, 4> slots{2, 8, 32, 128};
  about_.size = random_.between(4, 30) * block;
  about_.block_size = {block, 4096, 4096U << random_.below(2)};
  about_.transmission_flags = nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_trim |
                              nbd::flag_send_fua | nbd::flag_send_write_zeroes |
                              nbd::flag_send_fast_zero | nbd::flag_can_multi_conn;
  plan_.connections = random_.between(1, 4);
  plan_.depth = random_.between(1, 40);
  plan_.requests = random_.between(20, 300);
  plan_.timeout = timeout;
  lane_options_.slots = random_.pick(slots);
  lane_options_.resident_bytes = lane_options_.largest_payload = 256 * 1024;
  lane_options_.populate = false;
  faults_.waiting_percent = static_cast<unsigned>(random_.between(5, 100));
  faults_.ending_percent = static_cast<unsigned>(random_.between(5, 60));
  fault_every_ = random_.between(10, 200);
  present_.resize(plan_.connections);
}

DriverWorld::~DriverWorld() = default;

void DriverWorld::trace(const std::string& text) const {
  if (report_.trace) report_.trace(std::to_string(turns_) + ": " + text);
}

void DriverWorld::run() {
  backend_ = std::make_unique<FaultyBackend>(about_, random_, faults_);
  backend_->fill(pattern(Oracle::initial_number, 0, about_.size));
  oracle_ = std::make_unique<Oracle>(about_.size, block);
  SimulatedDriver::Trace tell;
  if (report_.trace) {
    tell = [this](const std::string& text) { trace(text); };
    backend_->set_trace(tell);
  }
  driver_ = std::make_unique<SimulatedDriver>(random_, *backend_, *oracle_, plan_, tell);
  Loop loop;
  loop.run(play(loop));
  try {
    check_end();
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
}

Task<void> DriverWorld::play(Loop& loop) {
  Scope scope(loop.frames());
  loop_ = &loop;
  lanes_scope_ = &scope;
  fences_.push_back(std::make_unique<Fence>(plan_.connections, timeout / 2));
  for (std::size_t i = 0; i < plan_.connections; ++i) start_lane(i, driver_->connect(i, loop));
  ReadinessFlag next_turn;
  next_turn.set(true);
  while (!is_ending_ || !every_lane([](const auto& lane) { return lane.is_over; })) {
    step();
    co_await next_turn.wait(loop);
  }
  co_await scope.join();
}

void DriverWorld::start_lane(std::size_t index, SimulatedStream& stream) {
  lanes_.push_back(std::make_unique<LaneOfEngine>(*this, index, stream, *fences_.back()));
  present_[index] = lanes_.back().get();
  lanes_scope_->spawn(serve(*loop_, *lanes_.back()));
}

Task<void> DriverWorld::serve(Loop& loop, LaneOfEngine& mine) {
  const auto backend = backend_->open_lane(loop);
  FenceLane fence(mine.fence, mine.index, loop);
  const TransmissionOptions simple_replies{};
  const LaneCompany company{&mine, &fence};
  Lane lane(loop, mine.stream, *backend, about_, simple_replies, lane_options_, mine.stats,
            company);
  mine.lane = &lane;
  const LaneEnd end = co_await lane.run();
  mine.lane = nullptr;
  mine.was_handed_on = end.is_handed_on;
  mine.is_over = true;
}

bool DriverWorld::every_lane(const std::function<bool(const LaneOfEngine&)>& holds) const {
  return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) { return holds(*lane); });
}

void DriverWorld::step() {
  ++turns_;
  // Now and then the process does not run for a while, and the driver goes on.
  time_.advance(milliseconds(random_.below(2'000) == 0 ? random_.below(9'000) : random_.below(50)));
  try {
    driver_->step();
    if (turns_ % 8 == 0) {
      oracle_->check_image(backend_->contents(), 0, about_.size, UINT64_MAX, "while it runs");
    }
    step_backend();
    check_calm();
    if (!is_ending_) step_faults();
    step_pause();
    if (!is_ending_) step_repair();
    if (!is_ending_ && driver_->is_done() && pausing_ == Pausing::no) end_device();
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
  idle_turns_ = driver_->progress() == progress_ ? idle_turns_ + 1 : 0;
  progress_ = driver_->progress();
  if (idle_turns_ > idle_turns_max) report_.failed("stuck: something waits for ever");
}

void DriverWorld::step_backend() {
  if (Clock::now() >= stalled_until_) backend_->step();
}

// A request that waits although nothing is in its way would be saved by the driver's timer.
void DriverWorld::check_calm() {
  const bool reads =
      every_lane([](const auto& lane) { return !lane.stream.is_kept_from_reading(); });
  const bool is_calm = reads && backend_->waiting() == 0 && pausing_ == Pausing::no;
  calm_turns_ = is_calm && driver_->has_old_request(timeout / 3) ? calm_turns_ + 1 : 0;
  if (calm_turns_ > 30) throw ProtocolViolation("a request waits, and nothing is under way");
}

void DriverWorld::step_faults() {
  // Who is kept from reading is let again, in the end.
  for (const auto& lane : lanes_) {
    if (!lane->is_over && random_.below(100) == 0) lane->stream.keep_from_reading(false);
  }
  if (random_.below(fault_every_) != 0) return;
  const std::uint64_t kind = random_.below(100);
  const std::size_t index = random_.below(plan_.connections);
  if (kind < 30) {
    stalled_until_ = Clock::now() + milliseconds(random_.below(25'000));
    trace("the backend stalls");
    const std::uint64_t also = random_.below(100);
    if (also < 30) driver_->shoot(index);
    if (also >= 60 && present_[index] != nullptr) present_[index]->stream.keep_from_reading(true);
  } else if (kind < 50) {
    if (present_[index] != nullptr) present_[index]->stream.keep_from_reading(true);
    trace("lane " + std::to_string(index) + " does not come to read");
  } else if (kind < 60) {
    driver_->shoot(index);
  } else if (kind < 90) {
    ask_for_pause();
  } else if (pausing_ == Pausing::no) {
    trace("the engine dies");
    is_adopting_ = true;
    for (std::size_t i = 0; i < plan_.connections; ++i) driver_->shoot(i);
  }
}

void DriverWorld::ask_for_pause() {
  const bool whole = std::none_of(present_.begin(), present_.end(),
                                  [](const auto* lane) { return lane == nullptr; });
  if (pausing_ != Pausing::no || is_adopting_ || !whole) return;
  trace("pause");
  pausing_ = Pausing::asked;
  pause_until_ = Clock::now() + milliseconds(random_.below(3'000));
  for (LaneOfEngine* lane : present_) lane->lane->pause();
}

void DriverWorld::go_on() {
  trace("go on");
  pausing_ = Pausing::no;
  for (LaneOfEngine* lane : present_) {
    if (lane == nullptr || lane->lane == nullptr) continue;
    lane->is_parked = false;
    lane->lane->resume();
  }
}

// What the Device does with its lanes, in the words of one loop.
void DriverWorld::step_pause() {
  const auto all_present = [this](auto holds) {
    return std::all_of(present_.begin(), present_.end(),
                       [&](const auto* lane) { return lane != nullptr && holds(*lane); });
  };
  if (pausing_ == Pausing::asked) {
    const bool drained = every_lane([](const auto& lane) { return !lane.drains || lane.is_over; });
    if (drained && all_present([](const auto& lane) { return lane.is_parked; })) {
      pausing_ = Pausing::parked;
      check_parked();
      pause_until_ = Clock::now() + milliseconds(random_.below(10) == 0 ? random_.below(9'000)
                                                                        : random_.below(200));
    } else if (!all_present([](const auto&) { return true; }) || Clock::now() > pause_until_) {
      go_on();
    }
  } else if (pausing_ == Pausing::parked) {
    check_parked();
    if (Clock::now() < pause_until_) return;
    if (random_.percent(40)) return go_on();
    trace("hand on");
    pausing_ = Pausing::handing_on;
    for (LaneOfEngine* lane : present_) lane->lane->hand_on();
  } else if (pausing_ == Pausing::handing_on) {
    if (!all_present([](const auto& lane) { return lane.is_over; })) return;
    fences_.push_back(std::make_unique<Fence>(plan_.connections, timeout / 2));
    for (std::size_t i = 0; i < plan_.connections; ++i) {
      if (!present_[i]->was_handed_on) throw ProtocolViolation("a parked lane ended otherwise");
      start_lane(i, present_[i]->stream);
    }
    pausing_ = Pausing::no;
  }
}

void DriverWorld::check_parked() {
  if (backend_->waiting() != 0) throw ProtocolViolation("paused with operations under way");
  for (const LaneOfEngine* lane : present_) {
    if (lane->stats.in_flight.get() != 0) throw ProtocolViolation("paused with slots in use");
    const bool is_read = lane->stream.unread() == 0;
    if (is_read && !driver_->is_between_replies(lane->index)) {
      throw ProtocolViolation("paused with half a reply sent");
    }
  }
}

void DriverWorld::step_repair() {
  if (pausing_ != Pausing::no) return;
  const auto ended = [](const auto& lane) { return lane.is_over; };
  if (is_adopting_) {
    if (!every_lane(ended)) return;  // the lock on the file
    trace("another engine adopts the device");
    is_adopting_ = false;
    fences_.push_back(std::make_unique<Fence>(plan_.connections, timeout / 2));
  }
  for (std::size_t i = 0; i < plan_.connections; ++i) {
    if (present_[i] != nullptr || random_.percent(80)) continue;
    const auto drains = std::count_if(lanes_.begin(), lanes_.end(), [i](const auto& lane) {
      return lane->index == i && lane->drains && !lane->is_over;
    });
    if (static_cast<std::size_t>(drains) >= draining_max) continue;
    trace("lane " + std::to_string(i) + " has a new connection");
    start_lane(i, driver_->connect(i, *loop_));
  }
}

void DriverWorld::end_device() {
  trace("the driver disconnects");
  is_ending_ = true;
  stalled_until_ = {};
  driver_->disconnect();
  for (const auto& lane : lanes_) lane->stream.keep_from_reading(false);
}

void DriverWorld::check_end() {
  if (backend_->waiting() != 0) throw ProtocolViolation("the backend is not idle at the end");
  oracle_->check_image(backend_->contents(), 0, about_.size, UINT64_MAX, "at the end");
}

}  // namespace nbdring
