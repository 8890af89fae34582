#pragma once
// Words of gnuplot's that the panels of a plot share: numbers, texts, ranges and axes. Pure.

#include <string>

namespace nbdring {

std::string gnuplot_number(double value);

/// In single quotes, where gnuplot takes everything as it is, and runs nothing.
std::string gnuplot_text(const std::string& text);

/// The smallest and the largest of what a panel shows.
class Range {
 public:
  /// A logarithm has no place for 0 and less, which are left out.
  void add(double value);
  bool is_empty() const { return high_ == 0; }
  double low() const { return low_; }
  double high() const { return high_; }
  /// So wide that the small ones could not be seen beside the large.
  bool is_wide() const;

 private:
  double low_ = 0;
  double high_ = 0;
};

/// The y axis of latencies in nanoseconds: marks at 1, 2, 5, 10, 20, ... of a unit that people
/// read, and the range from mark to mark. Not for an empty range.
std::string latency_axis(const Range& range);

/// What bytes per second are divided by, so that an axis has numbers that people read.
struct RateUnit {
  const char* name;  // "MiB/s"
  double bytes;
};
RateUnit unit_for(double bytes_per_second);

}  // namespace nbdring
