#include "tests/simulation/world.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t idle_turns_max = 10'000;    // after so many nothing will happen any more
constexpr std::size_t resident_bytes = 256 * 1024;  // the smallest arena

}  // namespace

World::World(std::uint64_t seed, Report report)
    : random_(seed),
      report_(std::move(report)),
      ring_keeper_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ENSURE(ring_keeper_.is_open());
}

// Three worlds: bytes, sectors, and pages with requests larger than a lane's resident memory.
Export World::make_export() {
  static constexpr std::array<std::uint32_t, 4> minimum{1, 512, 512, 4096};
  static constexpr std::array<std::uint32_t, 4> limit{4096, 16 * 1024, 64 * 1024, 512 * 1024};
  static constexpr std::array<std::uint64_t, 4> blocks{8192, 64, 512, 200};
  const std::size_t scale = random_.below(16) == 0 ? 3 : random_.below(3);
  Export about;
  about.block_size.minimum = minimum[scale];
  about.block_size.maximum = limit[scale];
  about.size = random_.between(1, blocks[scale]) * minimum[scale];
  about.transmission_flags = nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_trim |
                             nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero |
                             nbd::flag_can_multi_conn;
  if (random_.percent(90)) about.transmission_flags |= nbd::flag_send_fua;
  if (random_.percent(10)) about.transmission_flags |= nbd::flag_read_only;
  return about;
}

ClientPlan World::make_plan() {
  static constexpr std::array<std::size_t, 6> slots{1, 2, 3, 8, 32, 128};
  static constexpr std::array<std::size_t, 5> windows{16, 100, 4096, 65536, 1 << 20};
  static constexpr std::array<std::size_t, 6> pieces{0, 0, 0, 1, 100, 4096};
  const std::uint32_t maximum = backend_->about().block_size.maximum;
  const bool is_large = maximum > resident_bytes;
  ClientPlan plan;
  plan.transmission.structured_replies = random_.percent(50);
  plan.transmission.base_allocation = plan.transmission.structured_replies && random_.percent(70);
  plan.lane.slots = random_.pick(slots);
  plan.lane.resident_bytes = resident_bytes;
  plan.lane.largest_payload = std::max<std::size_t>(resident_bytes, maximum);
  // A window of a few bytes is worth its many turns only where replies are short.
  plan.stream.window_bytes = std::max<std::size_t>(random_.pick(windows), maximum / 256);
  plan.stream.piece_bytes = is_large ? 0 : random_.pick(pieces);
  plan.stream.again_percent = random_.percent(30) ? 10 : 0;
  plan.requests = random_.between(1, random_.percent(80) ? 60 : 200);
  plan.depth = random_.percent(30) ? 1 : random_.between(1, 64);
  plan.invalid_percent = random_.percent(50) ? 0 : 15;
  plan.reading_percent = random_.percent(70) ? 90 : 10;
  plan.ending = static_cast<Ending>(random_.below(6));
  return plan;
}

void World::run() {
  const Export about = make_export();
  FaultOptions faults;
  faults.error_percent = random_.percent(50) ? 0 : 5;
  faults.waiting_percent = random_.percent(20) ? 0 : random_.between(10, 100);
  faults.ending_percent = random_.between(5, 60);
  backend_ = std::make_unique<FaultyBackend>(about, random_, faults);
  backend_->set_trace(report_.trace);
  backend_->fill(pattern(Oracle::initial_number, 0, about.size));
  oracle_ = std::make_unique<Oracle>(about.size, about.block_size.minimum);
  stage_ = std::make_unique<Stage>(Stage{random_, *backend_, *oracle_, report_.trace});
  uses_ring_ = random_.percent(15);
  if (report_.trace) {
    report_.trace("export of " + std::to_string(about.size) + " bytes, flags " +
                  std::to_string(about.transmission_flags));
  }
  Loop loop;
  loop.run(play(loop));
  try {
    check_end();
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
}

Task<void> World::play(Loop& loop) {
  const std::size_t lanes = random_.percent(50) ? 1 : random_.between(2, 4);
  for (std::size_t i = 0; i < lanes; ++i) {
    const ClientPlan plan = make_plan();
    requests_ += plan.requests;
    clients_.push_back(std::make_unique<SimulatedClient>(*stage_, loop, i, plan));
  }
  Scope scope(loop.frames());
  if (uses_ring_) scope.spawn(keep_ring_busy(loop));
  for (const auto& client : clients_) scope.spawn(serve(loop, *client));
  ReadinessFlag next_turn;
  next_turn.set(true);
  while (!is_over()) {
    step();
    co_await next_turn.wait(loop);
  }
  constexpr std::uint64_t one = 1;
  ENSURE(::write(ring_keeper_.get(), &one, sizeof one) == sizeof one);
  co_await scope.join();
}

// With an operation in flight the loop waits in the ring, and arms the readiness of streams there.
Task<void> World::keep_ring_busy(Loop& loop) {
  std::array<std::byte, 8> buffer;
  while (!is_over()) {
    co_await loop.read(ring_keeper_.get(), buffer, 0);
  }
}

Task<void> World::serve(Loop& loop, SimulatedClient& client) {
  const auto backend = backend_->open_lane(loop);
  Lane lane(loop, client.stream(), *backend, backend_->about(), client.plan().transmission,
            client.plan().lane, client.stats());
  const LaneEnd end = co_await lane.run();
  try {
    client.lane_ended(end);
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
}

void World::step() {
  ++turns_;
  try {
    for (const auto& client : clients_) client->step();
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
  backend_->step();
  std::uint64_t progress = 0;
  for (const auto& client : clients_) progress += client->progress();
  idle_turns_ = progress == progress_ ? idle_turns_ + 1 : 0;
  progress_ = progress;
  if (idle_turns_ > idle_turns_max) {
    report_.failed("stuck: a lane waits for something that never comes");
  }
}

bool World::is_over() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->is_over(); });
}

void World::check_end() {
  for (const auto& client : clients_) client->check_end();
  if (backend_->waiting() != 0) throw ProtocolViolation("the backend is not idle at the end");
  const auto contents = backend_->contents();
  oracle_->check_image(contents, 0, contents.size(), UINT64_MAX, "at the end");
}

}  // namespace nbdring
