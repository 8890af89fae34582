#pragma once
// What `nbdring bench` measures, and what comes out of it: the words that its two halves share. The
// measuring half (run.hpp) makes results; the showing half (tables, JSON, CSV, plots) never knows
// how they were measured. Plain values; any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nbdring {

/// Which block is next. zipf: some blocks far more often than others, as in most real loads.
enum class Pattern { sequential, random, zipf };

/// "sequential", "random", "zipf".
const char* name_of(Pattern pattern);

/// One load: what is held constant while it is measured.
struct BenchPoint {
  Pattern pattern = Pattern::random;
  double theta = 0;                 // of zipf: 0 is uniform, towards 1 ever more skewed
  unsigned read_percent = 100;      // 100: reads only; 0: writes only; else mixed
  std::uint64_t block_size = 4096;  // bytes of each request
  unsigned depth = 1;               // requests in flight, on each connection
  unsigned connections = 1;

  friend bool operator==(const BenchPoint&, const BenchPoint&) = default;
};

/// In nanoseconds, from a request's start to its end. All 0 where nothing was counted.
struct Latencies {
  std::uint64_t p50 = 0;
  std::uint64_t p90 = 0;
  std::uint64_t p99 = 0;
  std::uint64_t p999 = 0;
  std::uint64_t max = 0;
  std::uint64_t mean = 0;
  std::uint64_t count = 0;
  /// Percentile (0 to 100, ascending) and latency: enough of them to draw the distribution.
  std::vector<std::pair<double, std::uint64_t>> curve;
};

/// One point on one target in one round.
struct BenchResult {
  std::string target;         // as the user named it
  unsigned target_index = 0;  // its place in the command line: the same may be named twice
  BenchPoint point;
  unsigned round = 1;          // from 1
  double seconds = 0;          // really measured, without the warm-up
  std::uint64_t requests = 0;  // ended well
  std::uint64_t bytes = 0;     // of these
  std::uint64_t errors = 0;    // ended with an error
  std::uint64_t verified = 0;  // bytes that were compared
  std::uint64_t wrong = 0;     // of these, blocks that were not as written
  Latencies latencies;
  double client_cpu_us = 0;             // microseconds of our own CPU for each request
  std::optional<double> engine_cpu_us;  // the same of whoever serves; none: not to be seen
  bool was_interrupted = false;         // by a signal: it is what was measured so far
  std::string trouble;                  // what went wrong, in one line; empty: nothing
};

}  // namespace nbdring
