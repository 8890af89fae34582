#pragma once
// The results of a bench for programs. The names stay; times are in nanoseconds, all else in SI
// base units, and the unit is in the name. Every round is there. Pure, but for what the machine
// is asked about itself.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

struct BenchRun {
  std::vector<std::string> command_line;
  std::int64_t started = 0;  // Unix time
  double seconds = 0;        // the whole of it took
};

/// One object: what ran where, and `results`, each with the curve of its latencies.
std::string bench_json(const std::vector<BenchResult>& results, const BenchRun& run);

/// A line with the names (those of JSON's results, without the curve), then a line for each result
/// (RFC 4180, but with LF). What was not measured is empty.
std::string bench_csv(const std::vector<BenchResult>& results);

}  // namespace nbdring
