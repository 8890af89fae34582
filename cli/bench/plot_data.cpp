#include "cli/bench/plot_data.hpp"

#include <algorithm>
#include <string_view>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t name_max = 36;  // characters of a target in the legend
constexpr std::size_t name_in_title_max = 60;
constexpr std::size_t curves_of_one_max = 7;  // as many as there are colours

// Both ends of a name tell more than its beginning.
std::string shortened(const std::string& text, std::size_t size_max) {
  if (text.size() <= size_max) return text;
  const std::size_t half = (size_max - 2) / 2;
  const auto is_inside_character = [&text](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
  };
  std::size_t front = half;
  std::size_t back = text.size() - half;
  while (front > 0 && is_inside_character(front)) --front;
  while (back < text.size() && is_inside_character(back)) ++back;
  return text.substr(0, front) + ".." + text.substr(back);
}

// The depth, if it was swept, is what people look for.
const Part* axis_of(const Distinction& distinction) {
  const Part* found = nullptr;
  for (const Part* part : distinction.varying) {
    if (part->number == nullptr) continue;
    if (found == nullptr || std::string_view(part->head) == "DEPTH") found = part;
  }
  return found;
}

// What tells a series apart; where nothing does, the target.
std::string label_of(const Summary& row, const Parts& parts, const Summaries& summaries,
                     bool has_targets) {
  const std::string words = phrases(parts, row);
  if (!has_targets && !words.empty()) return words;
  const std::string name = shortened(summaries.targets[row.target], name_max);
  return name + (words.empty() ? "" : ", " + words);
}

// What all have in common.
std::string title_of(const Summaries& summaries, const Distinction& distinction, bool has_targets) {
  const Summary& any = summaries.rows.front();
  std::string title = "nbdring bench";
  if (!has_targets) title += " " + shortened(summaries.targets[any.target], name_in_title_max);
  const std::string common = phrases(distinction.constant, any);
  return common.empty() ? title : title + ": " + common;
}

// The one whose throughput is in the middle; above it of two.
const BenchResult* middle_round(const Summary& row) {
  std::vector<const BenchResult*> rounds = row.rounds;
  ENSURE(!rounds.empty());
  const auto rate = [](const BenchResult* result) {
    return measure(MeasureName::throughput).value(*result).value_or(0);
  };
  std::stable_sort(rounds.begin(), rounds.end(),
                   [&](const auto* left, const auto* right) { return rate(left) < rate(right); });
  return rounds[rounds.size() / 2];
}

}  // namespace

Drawing::Drawing(const Summaries& summaries) {
  const Distinction distinction(summaries);
  axis = axis_of(distinction);
  const bool has_targets = std::any_of(distinction.varying.begin(), distinction.varying.end(),
                                       [](const Part* part) { return !part->is_of_point; });
  title = title_of(summaries, distinction, has_targets);
  Parts others;
  for (const Part* part : distinction.varying) {
    if (part != axis && part->is_of_point) others.push_back(part);
  }
  for (const Summary& row : summaries.rows) {
    const auto same = [&](const Series& known) {
      const Summary& first = *known.rows.front();
      return first.target == row.target && phrases(others, first) == phrases(others, row);
    };
    auto found = std::find_if(series.begin(), series.end(), same);
    if (found == series.end()) {
      series.push_back({label_of(row, others, summaries, has_targets), {}});
      found = series.end() - 1;
    }
    found->rows.push_back(&row);
  }
  if (axis == nullptr) return;
  for (Series& one : series) {
    std::stable_sort(one.rows.begin(), one.rows.end(), [this](const auto* a, const auto* b) {
      return axis->number(a->point) < axis->number(b->point);
    });
  }
}

std::vector<Curve> Drawing::curves() const {
  std::vector<Curve> curves;
  const auto add = [&](const Series& of, std::size_t row, std::size_t colour, bool is_dashed) {
    const Summary& summary = *of.rows[row];
    const std::string label =
        axis == nullptr ? of.label
                        : (series.size() == 1 ? "" : of.label + ", ") + axis->phrase(summary);
    curves.push_back({label, colour, is_dashed, middle_round(summary)});
  };
  if (series.size() == 1) {
    const std::size_t rows = series.front().rows.size();
    const std::size_t count = std::min(rows, curves_of_one_max);
    for (std::size_t i = 0; i < count; ++i) {
      add(series.front(), count == 1 ? 0 : i * (rows - 1) / (count - 1), i, false);
    }
    return curves;
  }
  for (std::size_t i = 0; i < series.size(); ++i) {
    const std::size_t last = series[i].rows.size() - 1;
    if (last > 0) add(series[i], 0, i, true);
    add(series[i], last, i, false);
  }
  return curves;
}

std::vector<const Summary*> Drawing::marks() const {
  std::vector<const Summary*> marks;
  if (axis == nullptr) return marks;
  const auto value = [this](const Summary* row) { return axis->number(row->point); };
  for (const Series& one : series) marks.insert(marks.end(), one.rows.begin(), one.rows.end());
  std::stable_sort(marks.begin(), marks.end(),
                   [&](const auto* a, const auto* b) { return value(a) < value(b); });
  marks.erase(std::unique(marks.begin(), marks.end(),
                          [&](const auto* a, const auto* b) { return value(a) == value(b); }),
              marks.end());
  return marks;
}

}  // namespace nbdring
