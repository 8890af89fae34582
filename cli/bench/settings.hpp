#pragma once
// What `nbdring bench` was asked for, checked (options_bench.cpp). Plain values.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/nbd/tls_settings.hpp"
#include "cli/bench/point.hpp"

namespace nbdring {

// What the options may be.
constexpr std::uint64_t bench_block_min = 512;  // bytes; blocks are multiples of it
constexpr std::uint64_t bench_block_max = 32 * 1024 * 1024;
constexpr unsigned bench_depth_max = 256;  // what one connection of a remote backend carries
constexpr std::size_t bench_points_max = 1000;
constexpr std::size_t bench_targets_max = 16;

struct BenchSettings {
  std::vector<std::string>
      targets;                     // as the user names them; with compare the first is the measure
  std::vector<BenchPoint> points;  // every combination of what was listed, in its order
  std::chrono::milliseconds run_time{5000};  // of each point
  std::chrono::milliseconds warm_up{500};    // before it, not counted
  unsigned rounds = 1;
  std::uint64_t offset = 0;           // bytes; where the range begins that is used
  std::optional<std::uint64_t> size;  // bytes; none: to the end
  bool may_write = false;             // --write
  bool verify = false;
  std::uint64_t seed = 1;
  /// A target that answers nothing for so long is given up.
  std::chrono::milliseconds silence_max{30'000};

  bool writes() const {
    for (const BenchPoint& point : points) {
      if (point.read_percent < 100) return true;
    }
    return false;
  }
};

enum class BenchForm { table, json, csv };

struct BenchCommand {
  BenchSettings settings;
  std::vector<LayerSpec> layers;  // in front of every target, outermost first
  TlsOptions tls;                 // of remote targets
  BenchForm form = BenchForm::table;
  std::string plot;  // a file; empty: none
  bool compare = false;
};

}  // namespace nbdring
