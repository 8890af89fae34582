#pragma once
// Text in columns, for people.

#include <string>
#include <vector>

namespace nbdring {

/// Columns as wide as their widest cell. The first column and the last can be text, which stands to
/// the left.
class Table {
 public:
  /// numbers: per column, whether it stands to the right.
  Table(std::vector<std::string> head, std::vector<bool> numbers);

  /// As many cells as the head has.
  void add(std::vector<std::string> row);
  std::string text() const;

 private:
  std::vector<bool> numbers_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nbdring
