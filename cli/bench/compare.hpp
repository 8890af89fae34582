#pragma once
// What `nbdring bench --compare` shows below the table: the other targets as ratios to the first.
// Pure.

#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

/// Per point and target the median of the ratios, and with several rounds the smallest and the
/// largest below it. A ratio is between two results of the same round, which were measured one
/// after the other: what slows the whole machine down slows both. Above 1 is more: better for the
/// throughput, worse for all else. Begins with an
/// empty line; at most 80 columns. Nothing with fewer than two targets.
std::string compare_table(const std::vector<BenchResult>& results);

}  // namespace nbdring
