#include "cli/bench/measuring.hpp"

#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "cli/bench/cpu.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds look_every{100};
constexpr milliseconds interrupted_wait{200};  // for requests under way, when somebody has asked
constexpr milliseconds given_up_wait{1000};    // for those that were told to end
// Less than this for each request is no server's work: somebody else does it.
constexpr double engine_cpu_least = 0.02;  // microseconds

double seconds_of(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double each_us(std::chrono::nanoseconds whole, std::uint64_t requests) {
  return requests == 0 ? 0
                       : static_cast<double>(whole.count()) / 1000 / static_cast<double>(requests);
}

}  // namespace

Measuring::~Measuring() {
  for (LeftBehind& left : left_behind_) {
    if (left.load->has_ended()) continue;
    [[maybe_unused]] const Load* const load = left.load.release();
    [[maybe_unused]] const Backend* const backend = left.backend.release();
  }
}

bool Measuring::has_stuck_lane() const {
  return std::any_of(left_behind_.begin(), left_behind_.end(),
                     [](const LeftBehind& left) { return !left.load->has_ended(); });
}

void Measuring::run() {
  for (unsigned round = 1; round <= settings_.rounds; ++round) {
    for (const BenchPoint& point : settings_.points) {
      for (std::size_t i = 0; i < targets_.size() && signal_ == 0; ++i) {
        const bool is_backwards = round % 2 == 0;
        BenchTarget& target = targets_[is_backwards ? targets_.size() - 1 - i : i];
        if (!target.is_left_out) measure(target, point, round);
      }
    }
  }
  progress_.clear();
}

LoadPlan Measuring::plan_of(const BenchTarget& target, const BenchPoint& point) {
  LoadPlan plan;
  plan.point = point;
  plan.offset = target.offset;
  plan.blocks = target.size / point.block_size;
  plan.seed = settings_.seed;
  plan.serial = ++serial_;
  plan.verify = settings_.verify;
  return plan;
}

void Measuring::measure(BenchTarget& target, const BenchPoint& point, unsigned round) {
  BenchResult result;
  result.target = target.name;
  result.target_index = target.index;
  result.point = point;
  result.round = round;
  progress_.begin(target.name, point);
  auto load = std::make_unique<Load>(*target.backend, plan_of(target, point));
  measure_load(*load, target, result);
  result.was_interrupted = signal_ != 0;
  if (round == 1 && signal_ == 0) say_shared(target, point);
  end(*load, target, result);
  load->report(result);
  if (!load->has_ended()) {
    left_behind_.push_back({std::move(target.backend), std::move(load)});
  }
  say(result);
  // A target too slow for a single request has a row that says so.
  const bool was_cut_off = result.was_interrupted && result.requests + result.errors == 0;
  if (!was_cut_off || !result.trouble.empty()) results_.push_back(std::move(result));
}

// Leaves it in its last phase, so that nothing new is asked for, and waits for nothing.
void Measuring::measure_load(Load& load, BenchTarget& target, BenchResult& result) {
  Watched watched = watch(load, settings_.warm_up);
  if (watched == Watched::time_over) {
    const auto engine_before = target.engine_cpu();
    const auto cpu_before = own_cpu();
    const auto begin = Clock::now();
    load.set_phase(LoadPhase::measuring);
    watched = watch(load, settings_.run_time);
    result.seconds = seconds_of(Clock::now() - begin);
    const std::uint64_t requests = load.progress().requests;
    result.client_cpu_us = each_us(own_cpu() - cpu_before, requests);
    const auto engine_after = target.engine_cpu();
    if (engine_before && engine_after) {
      const double each = each_us(*engine_after - *engine_before, requests);
      if (each >= engine_cpu_least) result.engine_cpu_us = each;
    }
  }
  if (watched == Watched::time_over && settings_.verify) {
    load.set_phase(LoadPhase::checking);
    // As long as it takes: every answer is a sign of life.
    watched = watch(load, Clock::duration::max());
  }
  load.set_phase(LoadPhase::ended);
  if (watched == Watched::silent) result.trouble = silence_text();
}

std::string Measuring::silence_text() const {
  return "no reply for " + duration_text(settings_.silence_max) + ", given up";
}

Measuring::Watched Measuring::watch(Load& load, Clock::duration at_most) {
  const auto begin = Clock::now();
  auto heard = begin;
  std::uint64_t answered = load.progress().answered;
  for (;;) {
    const auto now = Clock::now();
    const LoadProgress progress = load.progress();
    if (progress.answered != answered) heard = now;
    answered = progress.answered;
    progress_.update(progress.bytes, progress.requests);
    if (now - begin >= at_most) return Watched::time_over;
    if (load.has_ended()) return Watched::load_ended;
    if (now - heard >= settings_.silence_max) return Watched::silent;
    const auto left = at_most - (now - begin);
    const int wait = left < look_every
                         ? static_cast<int>(std::chrono::ceil<milliseconds>(left).count())
                         : static_cast<int>(look_every.count());
    pollfd signal{signals_.fd(), POLLIN, 0};
    if (::poll(&signal, 1, wait) > 0) {
      signal_ = signals_.take();
      if (signal_ != 0) return Watched::interrupted;
    }
  }
}

// Every answer renews the patience; a signal ends it.
bool Measuring::wait_for_end(Load& load, Clock::duration patience) {
  auto heard = Clock::now();
  std::uint64_t answered = load.progress().answered;
  while (!load.has_ended() && Clock::now() - heard < patience) {
    const std::uint64_t now_answered = load.progress().answered;
    if (std::exchange(answered, now_answered) != now_answered) heard = Clock::now();
    pollfd signal{signals_.fd(), POLLIN, 0};
    if (::poll(&signal, signal_ == 0 ? 1 : 0, 2) <= 0) continue;
    signal_ = signals_.take();
    if (signal_ != 0) break;
  }
  return load.has_ended();
}

// What is under way is waited for as long as it may take, then told to end. What does not even do
// that is left behind by the caller.
void Measuring::end(Load& load, BenchTarget& target, BenchResult& result) {
  const bool was_silent = !result.trouble.empty();
  const Clock::duration patience =
      signal_ != 0 ? interrupted_wait : Clock::duration(settings_.silence_max);
  if (!was_silent && wait_for_end(load, patience)) return;
  if (signal_ == 0) result.trouble = silence_text();
  target.is_left_out = true;
  load.give_up();
  target.backend->abandon();
  wait_for_end(load, given_up_wait);
}

void Measuring::say(const BenchResult& result) {
  if (result.trouble.empty()) return;
  progress_.clear();
  log_.error(result.target + ": " + result.trouble);
}

void Measuring::say_shared(const BenchTarget& target, const BenchPoint& point) {
  if (point.connections == 1 || !target.backend->health().is_shared) return;
  progress_.clear();
  log_.warning(target.name + " allows one connection only (no multi-conn): the " +
               std::to_string(point.connections) + " of this bench share it");
}

}  // namespace nbdring
