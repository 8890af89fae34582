#include "cli/bench/plot_axis.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr double wide = 20;               // largest to smallest
constexpr double decades_fine_max = 3.5;  // with three marks in each

std::string time_mark(double nanoseconds) {
  if (nanoseconds < 1e3) return gnuplot_number(nanoseconds) + " ns";
  if (nanoseconds < 1e6) return gnuplot_number(nanoseconds / 1e3) + " us";
  if (nanoseconds < 1e9) return gnuplot_number(nanoseconds / 1e6) + " ms";
  return gnuplot_number(nanoseconds / 1e9) + " s";
}

}  // namespace

std::string gnuplot_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

std::string gnuplot_text(const std::string& text) {
  std::string safe = "'";
  for (const char c : text) safe += c == '\'' ? std::string("''") : std::string(1, c);
  return safe + "'";
}

void Range::add(double value) {
  if (value <= 0) return;
  low_ = is_empty() ? value : std::min(low_, value);
  high_ = std::max(high_, value);
}

bool Range::is_wide() const { return high_ > low_ * wide; }

std::string latency_axis(const Range& range) {
  ENSURE(!range.is_empty());
  const bool is_fine = std::log10(range.high() / range.low()) < decades_fine_max;
  const auto steps = is_fine ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
  std::vector<double> marks;
  for (int decade = 0; marks.size() < 2 || marks.back() < range.high(); ++decade) {
    for (const double step : steps) {
      const double mark = step * std::pow(10, decade);
      // Only the last one below the range is its end.
      if (mark <= range.low()) marks.clear();
      if (marks.size() < 2 || marks.back() < range.high()) marks.push_back(mark);
    }
  }
  std::string texts;
  for (const double mark : marks) {
    texts +=
        (texts.empty() ? "" : ", ") + gnuplot_text(time_mark(mark)) + " " + gnuplot_number(mark);
  }
  // A little more, so that the marks at its ends are inside, however they are rounded.
  return "set logscale y\nset yrange [" + gnuplot_number(marks.front() * 0.999) + ":" +
         gnuplot_number(marks.back() * 1.001) + "]\nset ytics (" + texts +
         ")\nset ylabel 'latency'\n";
}

RateUnit unit_for(double bytes_per_second) {
  constexpr std::array<RateUnit, 3> units{
      {{"GiB/s", 1024.0 * 1024 * 1024}, {"MiB/s", 1024.0 * 1024}, {"KiB/s", 1024.0}}};
  for (const RateUnit& unit : units) {
    if (bytes_per_second >= 2 * unit.bytes) return unit;
  }
  return units.back();
}

}  // namespace nbdring
