#pragma once
// What a plot of a bench shows, before it is a program for gnuplot: which results are joined by a
// line, which latencies are drawn as a distribution, what the legend says. Pure functions; the
// summaries stay the caller's and outlive what is made here.

#include <string>
#include <vector>

#include "cli/bench/columns.hpp"
#include "cli/bench/summary.hpp"

namespace nbdring {

/// The points that a line joins.
struct Series {
  std::string label;
  std::vector<const Summary*> rows;  // along the axis
};

/// One distribution of latencies.
struct Curve {
  std::string label;
  std::size_t colour = 0;  // number of one
  bool is_dashed = false;
  const BenchResult* result = nullptr;  // the round in the middle
};

struct Drawing {
  const Part* axis = nullptr;  // what was swept: the depth, if it was; none: nothing was
  std::vector<Series> series;
  std::string title;

  explicit Drawing(const Summaries& summaries);

  /// All points of a single series, some in between left out where they are too many; of several
  /// series the two ends, in the colour of the series.
  std::vector<Curve> curves() const;
  /// Of all rows, ascending, each once: where the axis has its marks.
  std::vector<const Summary*> marks() const;
};

}  // namespace nbdring
