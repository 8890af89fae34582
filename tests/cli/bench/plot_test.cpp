#include "cli/bench/plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/bench/plot_axis.hpp"
#include "cli/bench/plot_data.hpp"
#include "client/runtime/error.hpp"
#include "kernel/spawn.hpp"
#include "tests/cli/bench/sample_results.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

bool has_gnuplot() {
  return run_command({"gnuplot", "--version"}, Deadline::in(std::chrono::seconds(30))).succeeded();
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Two targets at depths 1, 8 and 32, reads and writes.
std::vector<BenchResult> swept_results() {
  std::vector<BenchResult> results;
  for (const unsigned read_percent : {100U, 0U}) {
    for (const unsigned depth : {32U, 1U, 8U}) {
      for (const unsigned target : {0U, 1U}) {
        BenchPoint point = depth_point(depth);
        point.read_percent = read_percent;
        results.push_back(sample_result(point, 20'000 * depth + target, target));
      }
    }
  }
  return results;
}

std::vector<std::string> labels(const std::vector<Curve>& curves) {
  std::vector<std::string> labels;
  for (const Curve& curve : curves) labels.push_back(curve.label);
  return labels;
}

TEST(BenchPlotData, ASeriesJoinsThePointsOfOneLoadOnOneTargetAlongTheDepth) {
  const auto results = swept_results();
  const Summaries summaries = summarize(results);
  const Drawing drawing(summaries);
  ASSERT_EQ(drawing.series.size(), 4U);
  EXPECT_EQ(drawing.series[0].label, "memory:1G, random reads");
  EXPECT_EQ(drawing.series[3].label, "nbd+unix:///?socket=/tmp/sock, random writes");
  std::vector<unsigned> depths;
  for (const Summary* row : drawing.series[1].rows) depths.push_back(row->point.depth);
  EXPECT_THAT(depths, ElementsAre(1, 8, 32));
  EXPECT_EQ(drawing.title, "nbdring bench: 4 KiB blocks, 1 connection");
}

TEST(BenchPlotData, OfALongNameBothEndsAreInTheLegend) {
  auto results = two_targets_three_rounds();
  for (auto& result : results) result.target += "/a\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9 long/name.sock";
  const Summaries summaries = summarize(results);
  EXPECT_EQ(Drawing(summaries).series[1].label, "nbd+unix:///?sock..\xc3\xa9 long/name.sock");
}

TEST(BenchPlotData, OfSeveralSeriesTheEndsAreDistributions) {
  const auto results = swept_results();
  const Summaries summaries = summarize(results);
  const auto curves = Drawing(summaries).curves();
  ASSERT_EQ(curves.size(), 8U);
  EXPECT_EQ(curves[0].label, "memory:1G, random reads, depth 1");
  EXPECT_TRUE(curves[0].is_dashed);
  EXPECT_EQ(curves[1].label, "memory:1G, random reads, depth 32");
  EXPECT_FALSE(curves[1].is_dashed);
  EXPECT_EQ(curves[2].colour, 1U);
}

TEST(BenchPlotData, OfOneSeriesAllAreAsFarAsThereAreColours) {
  auto results = two_depths();
  const Summaries two = summarize(results);
  EXPECT_THAT(labels(Drawing(two).curves()), ElementsAre("depth 1", "depth 32"));
  for (unsigned depth = 2; depth <= 20; ++depth) {
    results.push_back(sample_result(depth_point(depth), 1000));
  }
  const Summaries many = summarize(results);
  const auto curves = Drawing(many).curves();
  ASSERT_EQ(curves.size(), 7U);
  EXPECT_EQ(curves.front().label, "depth 1");
  EXPECT_EQ(curves.back().label, "depth 32");
}

TEST(BenchPlotData, ADistributionIsThatOfTheRoundInTheMiddle) {
  const auto results = two_targets_three_rounds();
  const Summaries summaries = summarize(results);
  const auto curves = Drawing(summaries).curves();
  ASSERT_EQ(curves.size(), 2U);
  EXPECT_EQ(curves[1].result->round, 2U);
  EXPECT_EQ(curves[1].label, "nbd+unix:///?socket=/tmp/sock");
}

TEST(BenchPlotAxis, LatenciesHaveMarksThatPeopleRead) {
  Range range;
  range.add(23'000);
  range.add(0);
  range.add(1'900'000);
  EXPECT_EQ(latency_axis(range),
            "set logscale y\nset yrange [19980:2002000]\n"
            "set ytics ('20 us' 20000, '50 us' 50000, '100 us' 100000, '200 us' 200000, "
            "'500 us' 500000, '1 ms' 1000000, '2 ms' 2000000)\nset ylabel 'latency'\n");
  range.add(999);
  range.add(4e9);
  EXPECT_THAT(latency_axis(range),
              HasSubstr("[99.9:1.001e+10]\nset ytics ('100 ns' 100, '1 us' 1000, '10 us' 10000,"));
}

TEST(BenchPlotAxis, OneValueStillHasARange) {
  Range range;
  range.add(1000);
  EXPECT_THAT(latency_axis(range), HasSubstr("set yrange [999:2002]"));
}

TEST(BenchPlotScript, HasThreePanelsWithTheDataOverTheDepth) {
  const std::string script = plot_script(two_depths(), PlotForm::svg);
  EXPECT_THAT(script, HasSubstr("$block1 << end_of_block\n1 195.3125 195.3125 195.3125\n"
                                "32 1562.5 1562.5 1562.5\nend_of_block\n"));
  EXPECT_THAT(script, HasSubstr("$block2 << end_of_block\n1 20000\n32 80000\nend_of_block\n"));
  // The slowest of 50000 stands where one of 50000 is.
  EXPECT_THAT(script, HasSubstr("\n10 40000\n100 60000\n1000 100000\n50000 800000\n"));
  EXPECT_THAT(script, HasSubstr("set terminal svg size 1109,1180 "));
  EXPECT_THAT(script,
              HasSubstr("set multiplot layout 3,1 title 'nbdring bench memory:1G: random reads"));
  EXPECT_THAT(script, HasSubstr("set xtics ('1' 1, '32' 32)"));
  EXPECT_THAT(plot_script(two_depths(), PlotForm::png), HasSubstr("set terminal pngcairo "));
}

// 24 distributions in the legend, the longest of 69 characters.
TEST(BenchPlotScript, ThePictureGrowsWithItsLegend) {
  std::vector<BenchResult> results;
  for (auto result : swept_results()) {
    for (const std::uint64_t block_size : {512U, 4096U, 65536U}) {
      result.point.block_size = block_size;
      results.push_back(result);
    }
  }
  EXPECT_THAT(plot_script(results, PlotForm::png),
              HasSubstr("set terminal pngcairo size 1595,2080 "));
}

TEST(BenchPlotScript, WithoutASweepIsTheDistributionAlone) {
  const std::string script = plot_script({two_depths().front()}, PlotForm::svg);
  EXPECT_THAT(script, HasSubstr("set multiplot layout 1,1 "));
  EXPECT_THAT(script, Not(HasSubstr("'Throughput'")));
}

TEST(BenchPlotScript, RoundsHaveTheirSpread) {
  auto results = two_targets_three_rounds();
  results.push_back(sample_result(depth_point(1), 1000));
  EXPECT_THAT(plot_script(results, PlotForm::svg), HasSubstr(" with yerrorlines "));
  EXPECT_THAT(plot_script(two_depths(), PlotForm::svg), Not(HasSubstr("yerrorlines")));
}

// gnuplot runs `commands` in its other texts.
TEST(BenchPlotScript, ANameIsOnlyEverText) {
  auto results = two_depths();
  for (auto& result : results) result.target = "file:/it's `reboot`\nexit";
  EXPECT_THAT(plot_script(results, PlotForm::svg), HasSubstr(" title 'file:/it''s `reboot`?exit'"));
}

TEST(BenchPlot, AnEndingThatSaysNothingIsRefused) {
  for (const char* path : {"/tmp/plot.pdf", "/tmp/plot", "svg"}) {
    try {
      const Plot plot(path);
      FAIL() << path;
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage);
      EXPECT_THAT(failure.what(), HasSubstr(".svg nor .png"));
    }
  }
}

TEST(BenchPlot, AFolderThatIsNotThereIsRefusedBeforeAnythingIsMeasured) {
  const TemporaryFolder folder;
  try {
    const Plot plot(folder / "missing/plot.svg");
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("missing/plot.svg': No such file or directory"));
  }
}

TEST(BenchPlot, DrawsWhatEveryViewerOpens) {
  if (!has_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const TemporaryFolder folder;
  auto results = swept_results();
  results[0].target = "file:/it's <`reboot`> & \"more\"";
  Plot(folder / "plot.svg").draw(results);
  Plot(folder / "plot.png").draw(results);
  const std::string svg = content_of(folder / "plot.svg");
  EXPECT_THAT(svg, HasSubstr("</svg>"));
  EXPECT_THAT(svg, HasSubstr("Distribution of the latencies"));
  EXPECT_THAT(svg, HasSubstr("depth of each connection"));
  EXPECT_EQ(content_of(folder / "plot.png").substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_FALSE(std::filesystem::exists(folder / "plot.svg.new"));
}

TEST(BenchPlot, DrawsResultsInWhichNothingEnded) {
  if (!has_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const TemporaryFolder folder;
  BenchResult nothing;
  nothing.target = "memory:1G";
  nothing.errors = 1;
  std::vector<BenchResult> results{nothing, nothing};
  results[1].point.depth = 8;
  Plot(folder / "plot.svg").draw(results);
  EXPECT_THAT(content_of(folder / "plot.svg"), HasSubstr("</svg>"));
}

TEST(BenchPlot, WithoutResultsWhatWasThereStays) {
  if (!has_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const TemporaryFolder folder;
  std::ofstream(folder / "plot.svg") << "older";
  Plot(folder / "plot.svg").draw({});
  EXPECT_EQ(content_of(folder / "plot.svg"), "older");
}

}  // namespace
}  // namespace nbdring
