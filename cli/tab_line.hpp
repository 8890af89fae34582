#pragma once
// A line of the tab, taken apart and decoded; what its words mean is tab.hpp's. Throws Failure
// (usage) without the place.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nbdring {

struct TabOption {
  std::string name;
  std::optional<std::string> value;  // after '='; none: no '='
};

struct TabFields {
  std::vector<std::string> words;  // two, in nbdtab's form three; empty: nothing but a comment
  std::vector<TabOption> options;
};

TabFields split_tab_line(std::string_view line);

/// The lines of a text, counted from 1.
class TabLines {
 public:
  explicit TabLines(std::string_view text) : rest_(text) {}

  bool next();
  unsigned number() const { return number_; }
  std::string_view line() const { return line_; }

 private:
  std::string_view rest_;
  std::string_view line_;
  unsigned number_ = 0;
};

}  // namespace nbdring
