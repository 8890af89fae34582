#include "tests/simulation/remote_world.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>

#include "client/engine/hand_over.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/client_side.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

constexpr std::uint32_t block = 512;
constexpr std::uint64_t idle_turns_max = 50'000;  // many minutes

using std::chrono::milliseconds;

}  // namespace

RemoteWorld::RemoteWorld(std::uint64_t seed, Report report)
    : random_(seed),
      report_(std::move(report)),
      log_(report_.trace ? LogLevel::debug : LogLevel::error, LogFormat::text, 2) {
  static constexpr std::array<std::size_t, 3> journals{8 * 1024, 64 * 1024, 1024 * 1024};
  about_.size = random_.between(8, 200) * block;
  about_.block_size = {block, 4096, 4096U << random_.below(3)};
  about_.transmission_flags = nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_trim;
  if (random_.percent(70)) about_.transmission_flags |= nbd::flag_can_multi_conn;
  if (random_.percent(70)) about_.transmission_flags |= nbd::flag_send_fua;
  if (random_.percent(70)) about_.transmission_flags |= nbd::flag_send_write_zeroes;
  options_.journal_bytes = options_.journal_share_min = random_.pick(journals);
  options_.endpoint = "the simulated server";
  options_.jitter_seed = static_cast<std::uint32_t>(random_.next());
  options_.backoff_max = milliseconds(1'000);
  options_.end_deadline = milliseconds(500);
  options_.connection.request_deadline = milliseconds(2'000);
  options_.connection.requests_max = random_.between(1, 16);
  fault_every_ = random_.between(100, 2'000);
}

void RemoteWorld::trace(const std::string& text) const {
  if (report_.trace) report_.trace(std::to_string(turns_) + ": " + text);
}

void RemoteWorld::run() {
  oracle_ = std::make_unique<Oracle>(about_.size, block);
  remote_log_ = std::make_unique<RemoteLog>(log_);
  remote_ = std::make_unique<Remote>(options_, *remote_log_);
  Loop loop;
  server_ = std::make_unique<RemoteServer>(loop, random_, about_);
  server_->fill(pattern(Oracle::initial_number, 0, about_.size));
  source_ = std::make_unique<RemoteServerSource>(*server_);
  keeper_ = std::make_unique<Keeper>(loop, *source_, *remote_, options_, *remote_log_);
  loop.run(play(loop));
  replayed_ = remote_->health().replayed_writes;
  check_stable({0, about_.size}, UINT64_MAX, "at the end");
  keeper_.reset();
}

Task<void> RemoteWorld::play(Loop& loop) {
  Scope world(loop.frames());
  Scope keeping(loop.frames());
  Scope users(loop.frames());
  world.spawn(turn_by_turn(loop));
  co_await keeper_->start();
  keeping.spawn(keeper_->run());
  const std::size_t lanes = random_.between(1, 4);
  for (std::size_t i = 0; i < lanes; ++i) users.spawn(use_lane(loop, i));
  co_await users.join();
  co_await leave_last(loop);
  keeper_->stop();
  co_await keeping.join();
  is_over_ = true;
  co_await world.join();
}

// What lanes that were given up have left behind is made durable by whoever closes after them; of a
// shared connection, by whoever flushes.
Task<void> RemoteWorld::leave_last(Loop& loop) {
  NbdLane lane(loop, *source_, *remote_, options_);
  if (remote_->carrier() != nullptr) {
    const Status flushed = co_await lane.flush();
    expect_ok(flushed, "the last flush");
  }
  const Status closed = co_await lane.close();
  expect_ok(closed, "the last close");
}

Task<void> RemoteWorld::turn_by_turn(Loop& loop) {
  ReadinessFlag next_turn;
  next_turn.set(true);
  while (!is_over_) {
    step();
    co_await next_turn.wait(loop);
  }
}

void RemoteWorld::step() {
  ++turns_;
  time_.advance(std::chrono::microseconds(random_.below(20'000)));
  // The first connection is made once: who starts without a server is told so.
  if (remote_->identity().size > 0) {
    break_something();
    repair_something();
  }
  server_->step();
  idle_turns_ = answered_ == answered_before_ ? idle_turns_ + 1 : 0;
  answered_before_ = answered_;
  if (idle_turns_ > idle_turns_max) report_.failed("stuck: a request waits for ever");
}

void RemoteWorld::break_something() {
  if (random_.below(fault_every_) != 0) return;
  const std::uint64_t kind = random_.below(100);
  if (kind < 45) {
    const bool at_once = random_.percent(50);
    trace(at_once ? "the server crashes and starts" : "the server crashes");
    server_->crash();
    if (at_once) server_->restart();
  } else if (kind < 65) {
    const bool all = random_.percent(50);
    trace(all ? "all connections break" : "a connection breaks");
    all ? server_->cut_all() : server_->cut_one();
  } else if (kind < 80) {
    trace("the network breaks");
    server_->set_unreachable(true);
  } else {
    trace("the server stalls");
    server_->stall(true);
  }
}

void RemoteWorld::repair_something() {
  if (!server_->is_up() && random_.below(50) == 0) {
    trace("the server starts");
    server_->restart();
  }
  if (server_->is_unreachable() && random_.below(100) == 0) {
    trace("the network is back");
    server_->set_unreachable(false);
  }
  if (server_->is_stalled() && random_.below(150) == 0) {
    trace("the server goes on");
    server_->stall(false);
  }
}

Task<void> RemoteWorld::use_lane(Loop& loop, std::size_t index) {
  const std::uint64_t lives = random_.between(1, random_.percent(30) ? 12 : 3);
  for (std::uint64_t i = 0; i < lives; ++i) {
    Life life;
    if (Carrier* const carrier = remote_->carrier()) {
      life.lane = std::make_unique<HandOver>(loop, *carrier);
    } else {
      life.lane = std::make_unique<NbdLane>(loop, *source_, *remote_, options_);
    }
    trace("lane " + std::to_string(index) + " opens");
    Scope workers(loop.frames());
    const std::uint64_t depth = random_.between(1, 6);
    for (std::uint64_t worker = 0; worker < depth; ++worker) {
      workers.spawn(work(loop, life, random_.between(1, lives > 3 ? 5 : 40)));
    }
    if (random_.percent(30)) workers.spawn(give_up(loop, life));
    co_await workers.join();
    const std::uint64_t asked = oracle_->event();
    const Status closed = co_await life.lane->close();
    expect_ok(closed, "close");
    trace("lane " + std::to_string(index) + " has closed");
    // Others' changes of the time before may be on their own lanes' journals.
    if (lives == 1 && depth == 1 && remote_->carrier() != nullptr && !life.is_given_up) {
      check_stable({0, about_.size}, asked, "close");
    }
    co_await pause(loop, random_.below(500));
  }
}

// In the middle of its work, or after it.
Task<void> RemoteWorld::give_up(Loop& loop, Life& life) {
  co_await pause(loop, random_.below(3'000));
  trace("a lane is given up");
  life.is_given_up = true;
  life.lane->give_up();
}

Task<void> RemoteWorld::work(Loop& loop, Life& life, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (random_.percent(50)) {
      co_await pause(loop, random_.below(100));
    }
    if (life.is_given_up) co_return;
    ++requests_;
    const std::uint64_t kind = random_.below(100);
    if (kind < 60) {
      co_await change(loop, life);
    } else if (kind < 85) {
      co_await read(loop, life);
    } else {
      co_await flush(loop, life);
    }
    ++answered_;
  }
}

Task<void> RemoteWorld::change(Loop& loop, Life& life) {
  static_cast<void>(loop);
  BackendLane& lane = *life.lane;
  const Range range = pick_range();
  const bool fua = random_.percent(15);
  const std::uint64_t kind = random_.below(10);
  const std::uint64_t number = kind < 8 ? next_number_++ : 0;
  const auto bytes = pattern(number, range.offset, range.length);
  oracle_->begin_change(range.offset, range.length);
  ZeroMode mode;
  mode.fua = fua;
  Status status;
  if (kind < 8) {
    status = co_await lane.write(range.offset, bytes, fua);
  } else if (kind < 9) {
    status = co_await lane.write_zeroes(range.offset, range.length, mode);
  } else {
    status = co_await lane.trim(range.offset, range.length, fua);
  }
  if (was_cancelled(status, life, "a change")) {
    oracle_->end_change(range.offset, range.length, std::nullopt);
    co_return;
  }
  oracle_->end_change(range.offset, range.length, number);
  if (report_.trace) {
    trace("change " + std::to_string(number) + (fua ? " with FUA at " : " at ") +
          std::to_string(range.offset) + "+" + std::to_string(range.length) + " acknowledged");
  }
  if (fua) check_stable(range, UINT64_MAX, "FUA");
}

Task<void> RemoteWorld::read(Loop& loop, Life& life) {
  static_cast<void>(loop);
  const Range range = pick_range();
  std::vector<std::byte> bytes(range.length);
  const std::uint64_t asked = oracle_->event();
  const Status status = co_await life.lane->read(range.offset, bytes);
  if (was_cancelled(status, life, "a read")) co_return;
  try {
    oracle_->check_read(range.offset, bytes, asked);
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
}

Task<void> RemoteWorld::flush(Loop& loop, Life& life) {
  static_cast<void>(loop);
  const std::uint64_t asked = oracle_->event();
  const Status status = co_await life.lane->flush();
  if (was_cancelled(status, life, "a flush")) co_return;
  trace("flushed");
  check_stable({0, about_.size}, asked, "FLUSH");
}

Task<void> RemoteWorld::pause(Loop& loop, std::uint64_t count) {
  co_await loop.sleep(milliseconds(count));
}

// Mostly where nothing changes at the moment: of what overlaps nobody can say who was last.
RemoteWorld::Range RemoteWorld::pick_range() {
  const std::uint64_t blocks = about_.size / block;
  Range range{};
  for (int tries = 0; tries < 8; ++tries) {
    const std::uint64_t longest = random_.percent(80) ? std::min<std::uint64_t>(8, blocks) : blocks;
    const std::uint64_t length = random_.between(1, longest);
    range = {random_.between(0, blocks - length) * block, length * block};
    if (!oracle_->is_busy(range.offset, range.length) || random_.percent(5)) break;
  }
  return range;
}

void RemoteWorld::check_stable(Range range, std::uint64_t until, const char* what) {
  try {
    oracle_->check_image(server_->stable(), range.offset, range.length, until, what);
  } catch (const ProtocolViolation& violation) {
    report_.failed(violation.what());
  }
}

bool RemoteWorld::was_cancelled(Status status, const Life& life, const char* what) {
  const bool is_cancelled = life.is_given_up && status.error() == ECANCELED;
  if (!is_cancelled) expect_ok(status, what);
  return is_cancelled;
}

void RemoteWorld::expect_ok(Status status, const char* what) {
  if (!status.is_ok()) {
    report_.failed(std::string(what) + " failed: " + error_text(status.error()));
  }
}

}  // namespace nbdring
