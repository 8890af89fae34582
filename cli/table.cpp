#include "cli/table.hpp"

#include <algorithm>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string padded(std::string text, std::size_t width, bool to_the_right) {
  if (text.size() >= width) return text;
  const std::string space(width - text.size(), ' ');
  return to_the_right ? space + text : text + space;
}

}  // namespace

Table::Table(std::vector<std::string> head, std::vector<bool> numbers)
    : numbers_(std::move(numbers)) {
  add(std::move(head));
}

void Table::add(std::vector<std::string> row) {
  ENSURE(row.size() == numbers_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(numbers_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      line += (i == 0 ? "" : "  ") + padded(row[i], widths[i], numbers_[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace nbdring
