#pragma once
// The table of `nbdring bench`: what was measured, for people, in 80 columns. Pure.

#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

/// The target and what all rows share; a row for each point and target, with the medians of the
/// rounds; below it what must not be overlooked: errors, wrong bytes, rows that were cut short.
/// Nothing without results.
std::string bench_table(const std::vector<BenchResult>& results);

}  // namespace nbdring
