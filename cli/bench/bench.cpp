// nbdring bench: open what is to be measured, measure it, show it.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>

#include "cli/bench/compare.hpp"
#include "cli/bench/formats.hpp"
#include "cli/bench/measuring.hpp"
#include "cli/bench/plot.hpp"
#include "cli/bench/table.hpp"
#include "cli/commands.hpp"

namespace nbdring {
namespace {

constexpr int by_signal = 128;  // what a shell makes of a process that a signal has ended

std::vector<std::string> own_command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  std::string word;
  while (std::getline(file, word, '\0')) words.push_back(word);
  return words;
}

BenchRun begin_of_run() {
  BenchRun run;
  run.command_line = own_command_line();
  run.started = std::chrono::duration_cast<std::chrono::seconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count();
  return run;
}

std::vector<BenchTarget> open_targets(const BenchCommand& command, const CommonOptions& common,
                                      Log& log) {
  const Config config = config_of(common, log);
  const RunFolder devices;
  const TargetSources sources{config, common, devices};
  std::vector<BenchTarget> targets;
  for (std::size_t i = 0; i < command.settings.targets.size(); ++i) {
    targets.push_back(open_target(command, i, sources, log));
  }
  return targets;
}

std::string text_of(const BenchCommand& command, const std::vector<BenchResult>& results,
                    const BenchRun& run) {
  if (command.form == BenchForm::json) return bench_json(results, run);
  if (command.form == BenchForm::csv) return bench_csv(results);
  return bench_table(results) + (command.compare ? compare_table(results) : "");
}

int exit_code_of(const Measuring& measuring) {
  if (measuring.signal() != 0) return by_signal + measuring.signal();
  for (const BenchResult& result : measuring.results()) {
    const bool is_good = result.errors + result.wrong == 0 && result.trouble.empty();
    if (!is_good) return static_cast<int>(FailureKind::failed);
  }
  return 0;
}

std::size_t measurements_of(const BenchSettings& settings) {
  return settings.points.size() * settings.targets.size() * settings.rounds;
}

double seconds_each(const BenchSettings& settings) {
  return std::chrono::duration<double>(settings.warm_up + settings.run_time).count();
}

}  // namespace

int run_bench(const BenchCommand& command, const CommonOptions& common) {
  Log log = common.log();
  TerminationSignals signals;
  std::optional<Plot> plot;
  if (!command.plot.empty()) plot.emplace(command.plot);
  const BenchSettings& settings = command.settings;
  std::vector<BenchTarget> targets = open_targets(command, common, log);
  BenchRun run = begin_of_run();
  const auto begin = Clock::now();
  Progress progress(STDERR_FILENO, measurements_of(settings), seconds_each(settings));
  Measuring measuring(settings, targets, signals, progress, log);
  measuring.run();
  signals.restore();  // who asks again does not want to wait for the picture
  run.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  print(text_of(command, measuring.results(), run));
  if (plot) plot->draw(measuring.results());
  const int exit_code = exit_code_of(measuring);
  // A lane that is left behind uses what a return would destroy.
  if (measuring.has_stuck_lane()) ::_exit(exit_code);
  return exit_code;
}

}  // namespace nbdring
