#pragma once
// The picture of a bench, drawn by gnuplot: throughput and latency over what was swept (the depth,
// if it was), and the distribution of the latencies. gnuplot is asked for when it is needed; the
// program runs without it.

#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

enum class PlotForm { svg, png };

/// The program for gnuplot, data included: reads nothing, draws to its standard output. Needs
/// results. Pure.
std::string plot_script(const std::vector<BenchResult>& results, PlotForm form);

class Plot {
 public:
  /// Looks before anything is measured. Failure: an ending that is neither .svg nor .png, a folder
  /// that cannot be written, no gnuplot.
  explicit Plot(const std::string& path);

  /// Writes the file; one that is there stays as it is until the new one is drawn. Does nothing
  /// without results. Blocks for a second or two, 30 at most. Failure: what gnuplot said, or a file
  /// that cannot be written.
  void draw(const std::vector<BenchResult>& results) const;

 private:
  std::string path_;
  PlotForm form_;
};

}  // namespace nbdring
