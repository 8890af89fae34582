#pragma once
// The order of a bench: rounds, points, targets; for each a warm-up, the time that counts, the
// reading back; and how it ends when a target hangs or somebody has seen enough.
//
// The targets of a point are measured one right after the other, in every second round from the
// last to the first: what makes the machine slower for a while is no target's advantage.
//
// The main thread watches the lanes and never waits for one without a deadline. A lane that cannot
// be ended (a system call that never returns) is left behind with its target; then the process has
// to be ended by _exit().

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/bench/load.hpp"
#include "cli/bench/point.hpp"
#include "cli/bench/progress.hpp"
#include "cli/bench/settings.hpp"
#include "cli/bench/target.hpp"
#include "cli/signals.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class Measuring {
 public:
  /// All outlive it.
  Measuring(const BenchSettings& settings, std::vector<BenchTarget>& targets,
            TerminationSignals& signals, Progress& progress, Log& log)
      : settings_(settings), targets_(targets), signals_(signals), progress_(progress), log_(log) {}

  /// What was left behind and has not ended stays: its threads use it.
  ~Measuring();
  Measuring(const Measuring&) = delete;
  Measuring& operator=(const Measuring&) = delete;

  /// Until all is measured, or a signal has come.
  void run();

  const std::vector<BenchResult>& results() const { return results_; }
  /// The signal that ended it; 0: none did.
  int signal() const { return signal_; }
  /// A lane has been left behind, and has still not ended.
  bool has_stuck_lane() const;

 private:
  struct LeftBehind {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Load> load;  // ends first
  };
  enum class Watched { time_over, load_ended, interrupted, silent };

  void measure(BenchTarget& target, const BenchPoint& point, unsigned round);
  LoadPlan plan_of(const BenchTarget& target, const BenchPoint& point);
  void measure_load(Load& load, BenchTarget& target, BenchResult& result);
  Watched watch(Load& load, Clock::duration at_most);
  void end(Load& load, BenchTarget& target, BenchResult& result);
  bool wait_for_end(Load& load, Clock::duration patience);
  std::string silence_text() const;
  void say(const BenchResult& result);
  void say_shared(const BenchTarget& target, const BenchPoint& point);

  const BenchSettings& settings_;
  std::vector<BenchTarget>& targets_;
  TerminationSignals& signals_;
  Progress& progress_;
  Log& log_;
  std::vector<BenchResult> results_;
  std::uint32_t serial_ = 0;
  int signal_ = 0;
  std::vector<LeftBehind> left_behind_;
};

}  // namespace nbdring
