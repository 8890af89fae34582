#include "cli/bench/compare.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "cli/bench/columns.hpp"
#include "cli/bench/summary.hpp"

namespace nbdring {
namespace {

using Ratios = std::vector<std::optional<Spread>>;

std::string ratio_text(double ratio) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(),
                ratio < 9.995   ? "%.2f"
                : ratio < 99.95 ? "%.1f"
                                : "%.0f",
                ratio);
  return text.data();
}

std::optional<Spread> ratio_of(const Summary& row, const Summary& first, MeasureName name) {
  std::vector<double> ratios;
  for (const BenchResult* result : row.rounds) {
    const BenchResult* beside = first.of_round(result->round);
    if (beside == nullptr) continue;
    const auto mine = measure(name).value(*result);
    const auto its = measure(name).value(*beside);
    if (mine && its && *its > 0) ratios.push_back(*mine / *its);
  }
  return spread_of(std::move(ratios));
}

// Nothing where the first target was not measured at this point.
std::optional<Ratios> ratios_of(const Summary& row, const Summaries& summaries,
                                const std::vector<MeasureName>& shown) {
  const auto first = std::find_if(
      summaries.rows.begin(), summaries.rows.end(),
      [&row](const Summary& other) { return other.target == 0 && other.point == row.point; });
  if (first == summaries.rows.end()) return std::nullopt;
  Ratios ratios;
  for (const MeasureName name : shown) ratios.push_back(ratio_of(row, *first, name));
  return ratios;
}

std::vector<std::string> median_cells(const Ratios& ratios) {
  std::vector<std::string> cells;
  for (const auto& ratio : ratios) cells.push_back(ratio ? ratio_text(ratio->median) : "-");
  return cells;
}

std::vector<std::string> spread_cells(const Ratios& ratios) {
  std::vector<std::string> cells;
  for (const auto& ratio : ratios) {
    cells.push_back(ratio ? ratio_text(ratio->smallest) + "-" + ratio_text(ratio->largest) : "");
  }
  return cells;
}

}  // namespace

std::string compare_table(const std::vector<BenchResult>& results) {
  const Summaries summaries = summarize(results);
  if (summaries.targets.size() < 2) return "";
  std::vector<MeasureName> shown{MeasureName::throughput, MeasureName::p50, MeasureName::p99,
                                 MeasureName::p999, MeasureName::client};
  if (summaries.has_engine) shown.push_back(MeasureName::engine);
  std::vector<std::string> heads;
  for (const MeasureName name : shown) heads.emplace_back(measure(name).head);
  PointTable table(Distinction(summaries).varying, heads);
  std::size_t rounds = 0;
  for (const Summary& row : summaries.rows) {
    const auto ratios = ratios_of(row, summaries, shown);
    if (row.target == 0 || !ratios) continue;
    table.add(row, median_cells(*ratios));
    if (row.rounds.size() > 1) table.add_below(spread_cells(*ratios));
    rounds = std::max(rounds, row.rounds.size());
  }
  if (rounds == 0) return "";
  return "\nratios to " + letter_of(0) +
         (rounds > 1 ? ", and below them their smallest and largest of " + std::to_string(rounds) +
                           " rounds"
                     : "") +
         "\n\n" + table.text();
}

}  // namespace nbdring
