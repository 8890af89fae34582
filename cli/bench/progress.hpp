#pragma once
// The line of `nbdring bench` on a terminal while it measures: where it is, how fast, how long
// still. One thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/bench/point.hpp"

namespace nbdring {

/// What the line says.
struct ProgressView {
  std::size_t number = 0;  // of this measurement, from 1
  std::size_t of = 0;
  std::string what;                        // the target and the point
  std::optional<double> bytes_per_second;  // nothing: not known yet
  double requests_per_second = 0;
  double seconds_left = 0;
};

/// At most columns_max wide: what is measured is cut first. No newline.
std::string progress_line(const ProgressView& view, std::size_t columns_max);

/// Draws the line on a terminal, again and again; nothing where the descriptor is none.
class Progress {
 public:
  /// measurements: points x targets x rounds. seconds_each: of one of them, its warm-up included.
  Progress(int fd, std::size_t measurements, double seconds_each);
  /// clear()
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// The next measurement starts.
  void begin(const std::string& target, const BenchPoint& point);
  /// What it has done since it began: draws. Some times a second is right.
  void update(std::uint64_t bytes, std::uint64_t requests);
  /// Takes the line away, before something else is printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  void draw(double passed);  // seconds since begin()

  int fd_;
  bool is_terminal_;
  bool is_drawn_ = false;
  double seconds_each_;
  ProgressView view_;
  Clock::time_point began_ = Clock::now();
  // The rate is that of the time since the last line.
  Clock::time_point updated_ = began_;
  std::uint64_t bytes_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace nbdring
