#pragma once
// What tells the rows of a bench apart: the parts of a point (load, block size, depth,
// connections) and the target. What is the same everywhere is said once, above; what varies is a
// column, or, where the columns would be wider than a terminal, a line above the rows that share
// it. Pure functions.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench/summary.hpp"

namespace nbdring {

/// "4 KiB", "512 B": as exact as it was asked for.
std::string block_text(std::uint64_t bytes);
/// "random reads", "zipf:0.9 writes", "sequential 70% reads".
std::string load_text(const BenchPoint& point);

/// One thing in which rows can differ.
struct Part {
  const char* head;                            // of its column
  const char* name;                            // in the middle of a sentence
  bool is_of_point;                            // not of the target
  bool is_number;                              // stands to the right
  std::string (*cell)(const Summary& row);     // "32"
  std::string (*phrase)(const Summary& row);   // "depth 32"
  std::uint64_t (*number)(const BenchPoint&);  // nullptr: it is none
};
using Parts = std::vector<const Part*>;

/// In which the rows differ, and in which they do not (never the target).
struct Distinction {
  Parts varying;
  Parts constant;

  explicit Distinction(const Summaries& summaries);
};

/// "random reads, depth 32"; empty without parts.
std::string phrases(const Parts& parts, const Summary& row);

/// The targets, with their letters where there are several; then what all rows have in common.
/// Lines.
std::string heading(const Summaries& summaries, const Distinction& distinction);

/// Rows of numbers, each with what tells it apart to its left.
class PointTable {
 public:
  PointTable(Parts varying, std::vector<std::string> heads);

  /// As many cells as heads.
  void add(const Summary& row, std::vector<std::string> cells);
  /// One more line of the last row.
  void add_below(std::vector<std::string> cells);

  /// At most columns_max wide if that can be.
  std::string text(std::size_t columns_max = 80) const;

 private:
  struct Line {
    const Summary* row;  // nullptr: it goes on with the row above
    std::vector<std::string> cells;
  };

  /// The first so many parts that vary are lines above their rows.
  std::string grouped(std::size_t groups) const;

  Parts varying_;
  std::vector<std::string> heads_;
  std::vector<Line> lines_;
};

}  // namespace nbdring
