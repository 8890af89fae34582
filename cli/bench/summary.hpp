#pragma once
// The results of a bench put in order for people: one line for each point and target, with the
// median of its rounds. Pure functions; the results stay the caller's and outlive what is made
// here.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

/// A number of a result that is shown, in SI base units but for time, which is in nanoseconds.
struct Measure {
  const char* head;                                           // of its column
  std::optional<double> (*value)(const BenchResult& result);  // nothing: not measured
  std::string (*text)(double value);
};

enum class MeasureName { throughput, iops, p50, p99, p999, client, engine };
const Measure& measure(MeasureName name);

/// How a number was over the rounds.
struct Spread {
  double median = 0;
  double smallest = 0;
  double largest = 0;
};

/// Of an even number of values the mean of the two in the middle; nothing where there are none.
std::optional<Spread> spread_of(std::vector<double> values);

/// One point on one target.
struct Summary {
  std::size_t target = 0;  // into Summaries::targets
  BenchPoint point;
  /// Ordered by round. What a signal cut short counts where there is nothing else.
  std::vector<const BenchResult*> rounds;

  std::optional<Spread> spread(MeasureName name) const;
  /// The median for people; "-" where nothing was measured.
  std::string cell(MeasureName name) const;
  const BenchResult* of_round(unsigned round) const;  // nullptr: there is none
};

struct Summaries {
  std::vector<std::string> targets;  // printable, by their place in the command line
  std::vector<BenchPoint> points;    // in the order of their first results
  std::vector<Summary> rows;         // point by point, the targets of each together
  bool has_engine = false;           // some result knows the CPU of who serves
  bool has_rounds = false;
};

Summaries summarize(const std::vector<BenchResult>& results);

/// "A", "B", … "Z", "27": what a target is called where its name is too long.
std::string letter_of(std::size_t target);

}  // namespace nbdring
