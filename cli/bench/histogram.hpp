#pragma once
// Latencies of one lane, in buckets of 128 per power of two: any percentile is right to 0.8 %,
// whatever its magnitude, in 34 KiB and without allocating. The layout is HdrHistogram's (Gil Tene,
// hdrhistogram.org), of which Debian 12 has no library for C or C++.
//
// The lane's thread adds; any thread may read at any time, for a lane that never ends must not keep
// what it has measured from being shown.

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cli/bench/point.hpp"
#include "client/engine/stats.hpp"

namespace nbdring {

class LatencyRecord {
 public:
  static constexpr unsigned sub_bits = 7;    // 128 buckets per power of two
  static constexpr unsigned power_max = 40;  // 2^40 ns: 18 minutes; what is longer counts as that
  static constexpr std::size_t buckets = (std::size_t{power_max} - sub_bits + 1) << sub_bits;

  LatencyRecord() : counts_(buckets) {}

  void add(std::chrono::nanoseconds latency) {
    const auto value = static_cast<std::uint64_t>(latency.count());
    counts_[bucket_of(value)].add(1);
    sum_.add(value);
    if (value > max_.get()) max_.set(value);
  }

  static constexpr std::size_t bucket_of(std::uint64_t value) {
    constexpr std::uint64_t subs = std::uint64_t{1} << sub_bits;
    if (value < subs) return value;
    if (value >> power_max != 0) return buckets - 1;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - sub_bits;
    return (std::size_t{shift} << sub_bits) + (value >> shift);
  }
  /// The largest latency that falls into a bucket, in nanoseconds.
  static constexpr std::uint64_t upper_bound_of(std::size_t bucket) {
    constexpr std::size_t subs = std::size_t{1} << sub_bits;
    if (bucket < 2 * subs) return bucket;
    const auto shift = static_cast<unsigned>(bucket >> sub_bits) - 1;
    const std::uint64_t leading = subs + (bucket & (subs - 1));
    return ((leading + 1) << shift) - 1;
  }

 private:
  friend Latencies summary_of(const std::vector<const LatencyRecord*>& records);

  std::vector<Counter> counts_;
  Counter sum_;  // nanoseconds
  Counter max_;
};

static_assert(LatencyRecord::bucket_of((std::uint64_t{1} << LatencyRecord::power_max) - 1) ==
              LatencyRecord::buckets - 1);

/// Of several lanes together. The curve has a point wherever the part of slower requests has become
/// smaller by an eighth of itself, up to the slowest request.
Latencies summary_of(const std::vector<const LatencyRecord*>& records);

}  // namespace nbdring
