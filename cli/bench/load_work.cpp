#include "cli/bench/load_work.hpp"

#include <cstring>
#include <string>

#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

// What a turn of the loop costs is a fiftieth of it.
constexpr std::chrono::microseconds turn_max{25};
constexpr std::chrono::microseconds busy_pause{100};
constexpr unsigned tries_max = 16;    // for a block that no other request has
constexpr unsigned errors_max = 100;  // in a row: this is not going to be measured

constexpr std::size_t arena_step = 64 * Arena::unit;  // what an arena's size is a multiple of

std::size_t rounded_up(std::size_t bytes, std::size_t step) {
  return (bytes + step - 1) / step * step;
}

std::size_t arena_bytes(const BenchPoint& point) {
  return rounded_up(point.depth * rounded_up(point.block_size, Arena::unit), arena_step);
}

void fill_with_noise(std::span<std::byte> buffer, BenchRandom& random) {
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= buffer.size();
       at += sizeof(std::uint64_t)) {
    const std::uint64_t noise = random.next();
    std::memcpy(buffer.data() + at, &noise, sizeof noise);
  }
}

}  // namespace

LoadWork::LoadWork(Loop& loop, BackendLane& lane, const LoadPlan& plan,
                   const std::atomic<LoadPhase>& phase, LoadTally& tally)
    : TurnEnd(loop),
      loop_(loop),
      lane_(lane),
      plan_(plan),
      phase_(phase),
      tally_(tally),
      source_(plan.point.pattern, plan.point.theta, plan.blocks,
              BenchRandom::mix(plan.seed + plan.serial) + plan.lane),
      mix_(BenchRandom::mix(plan.seed) + plan.lane),
      arena_(arena_bytes(plan.point), arena_bytes(plan.point)) {
  if (plan.verify) generations_.emplace(plan.blocks);
}

Task<void> LoadWork::run() {
  std::vector<std::span<std::byte>> buffers;
  for (unsigned i = 0; i < plan_.point.depth; ++i) {
    buffers.push_back(arena_.allocate(plan_.point.block_size));
    ENSURE(!buffers.back().empty());
    // What can be compressed or is all zeros would be faster than what people store.
    fill_with_noise(buffers.back(), mix_);
  }
  Scope loading(frames());
  for (const auto buffer : buffers) loading.spawn(load(buffer));
  co_await loading.join();
  Scope checking(frames());
  if (generations_) {
    for (const auto buffer : buffers) checking.spawn(check(buffer));
  }
  co_await checking.join();
  for (const auto buffer : buffers) arena_.release(buffer);
  const Status status = co_await lane_.close();
  if (!status.is_ok() && !is_given_up_) {
    tally_.note("what was written may not be on stable storage: " + error_text(status.error()));
  }
}

void LoadWork::give_up() noexcept {
  is_given_up_ = true;
  lane_.give_up();
}

Task<void> LoadWork::load(std::span<std::byte> buffer) {
  Clock::time_point now = Clock::now();
  while (may_load()) {
    note_turn(now);
    const auto block = choose_block();
    if (!block) {
      co_await loop_.sleep(busy_pause);
      now = Clock::now();
      continue;
    }
    const bool is_write = mix_.next() % 100 >= plan_.point.read_percent;
    if (is_write && generations_) {
      fill_block(buffer, identity(*block, generations_->next(*block)));
      now = Clock::now();
    }
    const Request request{*block, offset_of(*block), is_write, now};
    const std::uint64_t begun_in = turn_;
    Status status;
    if (is_write) {
      status = co_await lane_.write(request.offset, buffer, false);
    } else {
      status = co_await lane_.read(request.offset, buffer);
    }
    now = Clock::now();
    settle(request, status, now, buffer);
    if (generations_) now = Clock::now();  // comparing is not the next request's time
    if (crowds_others(begun_in, now)) {
      co_await loop_.sleep(Clock::duration::zero());
      now = Clock::now();
    }
  }
}

Task<void> LoadWork::check(std::span<std::byte> buffer) {
  while (may_check() && next_check_ < plan_.blocks) {
    const std::uint64_t block = next_check_++;
    if (!generations_->expected(block)) continue;
    const std::uint64_t begun_in = turn_;
    const Clock::time_point begin = Clock::now();
    note_turn(begin);
    const Status status = co_await lane_.read(offset_of(block), buffer);
    tally_.answered.add(1);
    if (status.is_ok()) {
      compare(block, buffer);
    } else {
      failed("reading back", offset_of(block), status);
    }
    if (crowds_others(begun_in, Clock::now())) {
      co_await loop_.sleep(Clock::duration::zero());
    }
  }
}

void LoadWork::note_turn(Clock::time_point now) {
  if (known_turn_ == turn_) return;
  known_turn_ = turn_;
  turn_began_ = now;
}

bool LoadWork::crowds_others(std::uint64_t begun_in, Clock::time_point now) const {
  return begun_in == turn_ && now - turn_began_ > turn_max;
}

std::optional<std::uint64_t> LoadWork::choose_block() {
  if (!generations_) return source_.next();
  for (unsigned i = 0; i < tries_max; ++i) {
    const std::uint64_t block = source_.next();
    if (generations_->take(block)) return block;
  }
  return std::nullopt;
}

std::uint64_t LoadWork::offset_of(std::uint64_t block) const {
  return plan_.offset + block * plan_.point.block_size;
}

BlockIdentity LoadWork::identity(std::uint64_t block, std::uint32_t generation) const {
  return {plan_.seed, offset_of(block), std::uint64_t{plan_.serial} << 32 | generation};
}

void LoadWork::settle(const Request& request, Status status, Clock::time_point end,
                      std::span<const std::byte> buffer) {
  tally_.answered.add(1);
  if (status.is_ok()) errors_in_a_row_ = 0;
  if (!status.is_ok()) {
    failed(request.is_write ? "writing" : "reading", request.offset, status);
  } else if (phase() == LoadPhase::measuring) {
    tally_.requests.add(1);
    tally_.bytes.add(plan_.point.block_size);
    tally_.latencies.add(end - request.begin);
  }
  if (generations_) settle_verified(request, status, buffer);
}

void LoadWork::settle_verified(const Request& request, Status status,
                               std::span<const std::byte> buffer) {
  if (request.is_write) {
    status.is_ok() ? generations_->written(request.block) : generations_->lost(request.block);
  } else if (status.is_ok()) {
    compare(request.block, buffer);
  }
  generations_->give_back(request.block);
}

void LoadWork::compare(std::uint64_t block, std::span<const std::byte> buffer) {
  const auto generation = generations_->expected(block);
  if (!generation) return;
  const auto fault = fault_of(buffer, identity(block, *generation));
  tally_.verified.add(buffer.size());
  if (!fault) return;
  tally_.wrong.add(1);
  tally_.note("the block at offset " + std::to_string(offset_of(block)) + " " + *fault);
}

void LoadWork::failed(const char* what, std::uint64_t offset, Status status) {
  if (!may_check()) return;  // ended by us
  tally_.errors.add(1);
  tally_.note(std::string(what) + " " + std::to_string(plan_.point.block_size) +
              " bytes at offset " + std::to_string(offset) + ": " + error_text(status.error()));
  if (++errors_in_a_row_ >= errors_max) is_given_up_ = true;
}

}  // namespace nbdring
