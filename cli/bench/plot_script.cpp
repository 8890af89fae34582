// The gnuplot program of a bench: one panel below the other, each with its legend to the right. The
// marks of the axes are ours: gnuplot's own are powers of ten, which nobody reads as a time.

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "cli/bench/plot.hpp"
#include "cli/bench/plot_axis.hpp"
#include "cli/bench/plot_data.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Pixels. The legend has the room that its longest line needs, so nothing is written over another.
constexpr int left = 110;
constexpr int graph_width = 760;
constexpr int legend_gap = 24;
constexpr int legend_sample = 80;
constexpr int character_width = 9;  // of the fonts below, at most in the mean
constexpr int panel_height_min = 380;
constexpr int panel_space = 80;  // above and below a graph
constexpr int legend_line = 25;
constexpr int title_height = 40;

// Told apart by the colour-blind too (Okabe and Ito, "Color Universal Design").
constexpr std::array<const char*, 7> colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                             "#E69F00", "#56B4E9", "#000000"};
constexpr std::array<int, 5> shapes{7, 5, 9, 11, 13};  // of gnuplot's, the filled ones

constexpr const char* skipped = "set multiplot next\n";  // nothing was measured

std::string line_style(std::size_t of, bool is_dashed) {
  return " lc rgb '" + std::string(colours[of % colours.size()]) + "' lw 2 dt " +
         (is_dashed ? "2" : "1");
}

std::string style(std::size_t of, bool is_dashed) {
  const std::size_t shape = (of + of / colours.size()) % shapes.size();
  return line_style(of, is_dashed) + " pt " + std::to_string(shapes[shape]);
}

std::string grey_line(int dash, const std::string& label) {
  return "keyentry with lines lc rgb 'gray40' lw 2 dt " + std::to_string(dash) + " title " +
         gnuplot_text(label);
}

// One request of so many is slower: 100 at the 99th percentile. The largest that was seen stands
// where one of all of them is.
double tail_of(double percentile, std::uint64_t count) {
  const auto all = static_cast<double>(std::max<std::uint64_t>(count, 1));
  return percentile >= 100 ? all : std::min(all, 1 / (1 - percentile / 100));
}

std::string percentile_axis(const Range& across) {
  constexpr std::array<const char*, 9> names{"0",      "90",      "99",       "99.9",     "99.99",
                                             "99.999", "99.9999", "99.99999", "99.999999"};
  std::string marks;
  double tail = 1;
  for (const char* name : names) {
    if (tail > across.high()) break;
    marks += (marks.empty() ? "" : ", ") + gnuplot_text(name) + " " + gnuplot_number(tail);
    tail *= 10;
  }
  return "set logscale x 10\nset xrange [1:" + gnuplot_number(std::max(2.0, across.high())) +
         "]\nset xtics (" + marks + ")\nset xlabel 'percentile of the requests'\n";
}

class Script {
 public:
  Script(const std::vector<BenchResult>& results, PlotForm form)
      : summaries_(summarize(results)), drawing_(summaries_), form_(form) {}

  std::string text() {
    const bool has_axis = drawing_.axis != nullptr;
    std::string panels;
    if (has_axis) panels = throughput();
    if (has_axis) panels += latency();
    panels += distribution();
    return data_ + opening(has_axis ? 3 : 1) + panels + "unset multiplot\n";
  }

 private:
  int width() const {
    std::size_t longest = std::string_view("99th percentile").size();
    for (const Series& series : drawing_.series) longest = std::max(longest, series.label.size());
    for (const Curve& curve : drawing_.curves()) longest = std::max(longest, curve.label.size());
    return left + graph_width + legend_gap + legend_sample +
           character_width * static_cast<int>(longest);
  }

  int panel_height() const {
    const std::size_t lines = std::max(drawing_.series.size() + 2, drawing_.curves().size());
    return std::max(panel_height_min, panel_space + legend_line * static_cast<int>(lines));
  }

  std::string opening(int panels) const {
    // A size is in pixels for one of them, in points for the other.
    const bool is_svg = form_ == PlotForm::svg;
    const auto across = [all = width()](int pixels) {
      return gnuplot_number(static_cast<double>(pixels) / all);
    };
    return std::string("set encoding utf8\nset terminal ") + (is_svg ? "svg" : "pngcairo") +
           " size " + std::to_string(width()) + "," +
           std::to_string(panels * panel_height() + title_height) + " font 'sans-serif," +
           (is_svg ? "15" : "12") + "' noenhanced background rgb 'white'\n" +
           "set multiplot layout " + std::to_string(panels) + ",1 title " +
           gnuplot_text(drawing_.title) + "\nset lmargin at screen " + across(left) +
           "\nset rmargin at screen " + across(left + graph_width) + "\nset key at screen " +
           across(left + graph_width + legend_gap) +
           ", graph 1 left top vertical Left reverse samplen 3 spacing 1.3\n"
           "set border 3\nset tics nomirror\nset grid back lt 1 lw 1 lc rgb '#DDDDDD'\n"
           "set pointsize 0.8\n";
  }

  // The data of a line, under a name that is returned.
  std::string block(const std::string& lines) {
    const std::string name = "$block" + std::to_string(++blocks_);
    data_ += name + " << end_of_block\n" + lines + "end_of_block\n";
    return name;
  }

  std::string x_of(const Summary& row) const {
    return std::to_string(drawing_.axis->number(row.point));
  }

  std::string swept_axis() const {
    const auto marks = drawing_.marks();
    std::string text;
    for (const Summary* mark : marks) {
      text +=
          (text.empty() ? "" : ", ") + gnuplot_text(drawing_.axis->cell(*mark)) + " " + x_of(*mark);
    }
    const auto low = static_cast<double>(drawing_.axis->number(marks.front()->point));
    const auto high = static_cast<double>(drawing_.axis->number(marks.back()->point));
    return "set logscale x 2\nset xrange [" + gnuplot_number(low / 1.15) + ":" +
           gnuplot_number(high * 1.15) + "]\nset xtics (" + text + ")\nset xlabel " +
           gnuplot_text(drawing_.axis->name) + "\n";
  }

  // One line of a panel; nothing to draw makes none.
  void add_line(std::string& plots, const std::string& lines, const std::string& how,
                const std::string& label) {
    if (lines.empty()) return;
    plots += (plots.empty() ? "plot " : ", \\\n     ") + block(lines) + how +
             (label.empty() ? " notitle" : " title " + gnuplot_text(label));
  }

  static std::string panel(const std::string& title, const std::string& axes,
                           const std::string& plots) {
    return "unset logscale\nset yrange [*:*]\nset ytics autofreq\nset title " +
           gnuplot_text(title) + "\n" + axes + plots + "\n";
  }

  std::string throughput() {
    Range range;
    for (const Summary& row : summaries_.rows) {
      if (const auto spread = row.spread(MeasureName::throughput)) range.add(spread->median);
    }
    if (range.is_empty()) return skipped;
    const RateUnit unit = unit_for(range.high());
    const auto scaled = [&unit](double value) { return " " + gnuplot_number(value / unit.bytes); };
    std::string plots;
    for (std::size_t i = 0; i < drawing_.series.size(); ++i) {
      std::string lines;
      for (const Summary* row : drawing_.series[i].rows) {
        const auto spread = row->spread(MeasureName::throughput);
        if (!spread || spread->median <= 0) continue;
        lines += x_of(*row) + scaled(spread->median) + scaled(spread->smallest) +
                 scaled(spread->largest) + "\n";
      }
      const char* with = summaries_.has_rounds ? " with yerrorlines" : " with linespoints";
      add_line(plots, lines, with + style(i, false), drawing_.series[i].label);
    }
    return panel("Throughput",
                 swept_axis() + (range.is_wide() ? "set logscale y\n" : "set yrange [0:*]\n") +
                     "set ylabel '" + unit.name + "'\n",
                 plots);
  }

  std::string latency() {
    Range range;
    std::string plots;
    for (const MeasureName name : {MeasureName::p50, MeasureName::p99}) {
      const bool is_median = name == MeasureName::p50;
      for (std::size_t i = 0; i < drawing_.series.size(); ++i) {
        std::string lines;
        for (const Summary* row : drawing_.series[i].rows) {
          const auto spread = row->spread(name);
          if (!spread || spread->median <= 0) continue;
          range.add(spread->median);
          lines += x_of(*row) + " " + gnuplot_number(spread->median) + "\n";
        }
        add_line(plots, lines, " with linespoints" + style(i, !is_median),
                 is_median ? drawing_.series[i].label : "");
      }
    }
    if (range.is_empty()) return skipped;
    return panel("Latency", swept_axis() + latency_axis(range),
                 plots + ", \\\n     " + grey_line(1, "median") + ", \\\n     " +
                     grey_line(2, "99th percentile"));
  }

  std::string distribution() {
    Range across;
    Range range;
    std::string plots;
    for (const Curve& curve : drawing_.curves()) {
      std::string lines;
      for (const auto& [percentile, latency] : curve.result->latencies.curve) {
        if (latency == 0) continue;
        const double x = tail_of(percentile, curve.result->latencies.count);
        across.add(x);
        range.add(static_cast<double>(latency));
        lines += gnuplot_number(x) + " " + std::to_string(latency) + "\n";
      }
      add_line(plots, lines, " with lines" + line_style(curve.colour, curve.is_dashed),
               curve.label);
    }
    if (range.is_empty()) return skipped;
    return panel("Distribution of the latencies", percentile_axis(across) + latency_axis(range),
                 plots);
  }

  Summaries summaries_;
  Drawing drawing_;
  PlotForm form_;
  std::string data_;
  std::size_t blocks_ = 0;
};

}  // namespace

std::string plot_script(const std::vector<BenchResult>& results, PlotForm form) {
  ENSURE(!results.empty());
  return Script(results, form).text();
}

}  // namespace nbdring
