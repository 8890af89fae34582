#include "cli/bench/columns.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>
#include <utility>

#include "cli/report.hpp"
#include "cli/table.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string connections_text(unsigned connections) {
  return std::to_string(connections) + (connections == 1 ? " connection" : " connections");
}

// In the order in which they leave the columns when there is no room.
constexpr std::array<Part, 5> parts{{
    {"LOAD", "load", true, false, [](const Summary& row) { return load_text(row.point); },
     [](const Summary& row) { return load_text(row.point); }, nullptr},
    {"BLOCK", "block size", true, true,
     [](const Summary& row) { return block_text(row.point.block_size); },
     [](const Summary& row) { return block_text(row.point.block_size) + " blocks"; },
     [](const BenchPoint& point) { return point.block_size; }},
    {"CONNS", "connections", true, true,
     [](const Summary& row) { return std::to_string(row.point.connections); },
     [](const Summary& row) { return connections_text(row.point.connections); },
     [](const BenchPoint& point) { return std::uint64_t{point.connections}; }},
    {"DEPTH", "depth of each connection", true, true,
     [](const Summary& row) { return std::to_string(row.point.depth); },
     [](const Summary& row) { return "depth " + std::to_string(row.point.depth); },
     [](const BenchPoint& point) { return std::uint64_t{point.depth}; }},
    {"TARGET", "target", false, false, [](const Summary& row) { return letter_of(row.target); },
     [](const Summary& row) { return letter_of(row.target); }, nullptr},
}};

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

}  // namespace

std::string block_text(std::uint64_t bytes) {
  constexpr std::array<std::pair<const char*, unsigned>, 3> units{
      {{" GiB", 30}, {" MiB", 20}, {" KiB", 10}}};
  for (const auto& [unit, shift] : units) {
    const std::uint64_t whole = bytes >> shift;
    if (whole > 0 && whole << shift == bytes) return std::to_string(whole) + unit;
  }
  return std::to_string(bytes) + " B";
}

std::string load_text(const BenchPoint& point) {
  std::string text = name_of(point.pattern);
  if (point.pattern == Pattern::zipf) {
    std::array<char, 32> theta{};
    std::snprintf(theta.data(), theta.size(), ":%g", point.theta);
    text += theta.data();
  }
  if (point.read_percent == 100) return text + " reads";
  if (point.read_percent == 0) return text + " writes";
  return text + " " + std::to_string(point.read_percent) + "% reads";
}

Distinction::Distinction(const Summaries& summaries) {
  for (const Part& part : parts) {
    const auto differs = [&](const Summary& row) {
      return part.cell(row) != part.cell(summaries.rows.front());
    };
    if (std::any_of(summaries.rows.begin(), summaries.rows.end(), differs)) {
      varying.push_back(&part);
    } else if (part.is_of_point) {
      constant.push_back(&part);
    }
  }
}

std::string phrases(const Parts& of, const Summary& row) {
  std::string text;
  for (const Part* part : of) text += (text.empty() ? "" : ", ") + part->phrase(row);
  return text;
}

std::string heading(const Summaries& summaries, const Distinction& distinction) {
  ENSURE(!summaries.rows.empty());
  std::string text;
  for (std::size_t i = 0; i < summaries.targets.size(); ++i) {
    if (summaries.targets[i].empty()) continue;
    if (summaries.targets.size() > 1) text += letter_of(i) + "  ";
    text += summaries.targets[i] + "\n";
  }
  const std::string common = phrases(distinction.constant, summaries.rows.front());
  return common.empty() ? text : text + common + "\n";
}

PointTable::PointTable(Parts varying, std::vector<std::string> heads)
    : varying_(std::move(varying)), heads_(std::move(heads)) {}

void PointTable::add(const Summary& row, std::vector<std::string> cells) {
  ENSURE(cells.size() == heads_.size());
  lines_.push_back({&row, std::move(cells)});
}

void PointTable::add_below(std::vector<std::string> cells) {
  ENSURE(cells.size() == heads_.size() && !lines_.empty());
  lines_.push_back({nullptr, std::move(cells)});
}

std::string PointTable::text(std::size_t columns_max) const {
  std::string text;
  for (std::size_t groups = 0; groups <= varying_.size(); ++groups) {
    text = grouped(groups);
    if (widest_line(text) <= columns_max) break;
  }
  return text;
}

// One table over all groups, so that the columns stand below each other; then the groups' lines
// between its own.
std::string PointTable::grouped(std::size_t groups) const {
  const Parts own(varying_.begin() + static_cast<std::ptrdiff_t>(groups), varying_.end());
  const Parts shared(varying_.begin(), varying_.begin() + static_cast<std::ptrdiff_t>(groups));
  std::vector<std::string> heads;
  std::vector<bool> numbers;
  for (const Part* part : own) {
    heads.emplace_back(part->head);
    numbers.push_back(part->is_number);
  }
  heads.insert(heads.end(), heads_.begin(), heads_.end());
  numbers.resize(heads.size(), true);
  Table table(heads, numbers);
  for (const Line& line : lines_) {
    std::vector<std::string> cells;
    for (const Part* part : own) cells.push_back(line.row == nullptr ? "" : part->cell(*line.row));
    cells.insert(cells.end(), line.cells.begin(), line.cells.end());
    table.add(std::move(cells));
  }
  std::istringstream made(table.text());
  std::string text;
  std::string above;
  std::getline(made, text);
  text += "\n";
  for (const Line& line : lines_) {
    const std::string group = line.row == nullptr ? above : phrases(shared, *line.row);
    if (group != above) text += "\n" + group + "\n";
    above = group;
    std::string cells;
    std::getline(made, cells);
    text += cells + "\n";
  }
  return text;
}

}  // namespace nbdring
