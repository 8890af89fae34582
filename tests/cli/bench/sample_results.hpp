#pragma once
// Results as a bench could have made them, for the tests of what shows them.

#include <string>
#include <vector>

#include "cli/bench/point.hpp"

namespace nbdring {

inline BenchPoint depth_point(unsigned depth) {
  BenchPoint point;
  point.depth = depth;
  return point;
}

/// One second with so many requests of the point's block size.
inline BenchResult sample_result(const BenchPoint& point, std::uint64_t requests,
                                 unsigned target = 0, unsigned round = 1) {
  BenchResult result;
  result.target = target == 0 ? "memory:1G" : "nbd+unix:///?socket=/tmp/sock";
  result.target_index = target;
  result.point = point;
  result.round = round;
  result.seconds = 1;
  result.requests = requests;
  result.bytes = requests * point.block_size;
  auto& latencies = result.latencies;
  latencies.p50 = 1'000'000'000 * std::uint64_t{point.depth} / requests;
  latencies.p90 = latencies.p50 * 2;
  latencies.p99 = latencies.p50 * 3;
  latencies.p999 = latencies.p50 * 5;
  latencies.max = latencies.p50 * 40;
  latencies.mean = latencies.p50 + 7;
  latencies.count = requests;
  latencies.curve = {{0, latencies.p50 / 2}, {50, latencies.p50},    {90, latencies.p90},
                     {99, latencies.p99},    {99.9, latencies.p999}, {100, latencies.max}};
  result.client_cpu_us = 2.5;
  return result;
}

/// Depths 1 and 32 on memory, one round.
inline std::vector<BenchResult> two_depths() {
  return {sample_result(depth_point(1), 50'000), sample_result(depth_point(32), 400'000)};
}

/// Two targets, three rounds, interleaved; the second target has an engine, and is 1.5, 2 and 4
/// times as fast.
inline std::vector<BenchResult> two_targets_three_rounds() {
  std::vector<BenchResult> results;
  const std::uint64_t first[] = {100'000, 90'000, 50'000};
  const std::uint64_t second[] = {150'000, 180'000, 200'000};
  for (unsigned round = 1; round <= 3; ++round) {
    results.push_back(sample_result(depth_point(32), first[round - 1], 0, round));
    results.push_back(sample_result(depth_point(32), second[round - 1], 1, round));
    results.back().engine_cpu_us = 1.25;
  }
  return results;
}

}  // namespace nbdring
