#pragma once
// What a lane counts. One writer, the lane's thread; any thread may read at any time. Counters are
// relaxed atomics that only one thread adds to, so counting costs a load and a store.

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nbdring {

/// A counter with one writer.
class Counter {
 public:
  void add(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Latencies in buckets of four per power of two, in nanoseconds: a percentile is right to a fifth.
class LatencyHistogram {
 public:
  static constexpr std::size_t buckets = 160;

  void add(std::chrono::nanoseconds latency, std::uint64_t count = 1) {
    buckets_[bucket_of(static_cast<std::uint64_t>(latency.count()))].add(count);
  }
  /// Adds this histogram to a sum over lanes.
  void add_to(std::array<std::uint64_t, buckets>& sum) const {
    for (std::size_t i = 0; i < buckets; ++i) sum[i] += buckets_[i].get();
  }

  static constexpr std::size_t bucket_of(std::uint64_t nanoseconds) {
    if (nanoseconds < 4) return nanoseconds;
    const auto power = static_cast<std::size_t>(std::bit_width(nanoseconds)) - 1;  // at least 2
    const std::size_t quarter = (nanoseconds >> (power - 2)) & 3;
    const std::size_t bucket = (power - 1) * 4 + quarter;
    return bucket < buckets ? bucket : buckets - 1;
  }
  /// The largest latency of a bucket, in nanoseconds.
  static constexpr std::uint64_t upper_bound_of(std::size_t bucket) {
    if (bucket < 4) return bucket;
    const std::size_t power = bucket / 4 + 1;
    return (std::uint64_t{4} + bucket % 4 + 1) * (std::uint64_t{1} << (power - 2)) - 1;
  }
  static_assert(4 * 40 == buckets);

 private:
  std::array<Counter, buckets> buckets_;
};

/// The percentile (0 to 100) of a sum of histograms, in nanoseconds; 0 where nothing was counted.
std::uint64_t percentile(const std::array<std::uint64_t, LatencyHistogram::buckets>& sum,
                         double percent);

enum class StatsCommand : std::uint8_t { read, write, flush, trim, write_zeroes, block_status };
inline constexpr std::size_t stats_commands = 6;
const char* name_of(StatsCommand command);

/// paused: stopped at a request boundary; lost: without a connection.
enum class LaneState : std::uint8_t { starting, serving, draining, ended, paused, lost };
const char* name_of(LaneState state);

/// A lane's counters. 64-byte alignment keeps lanes off each other's cache lines.
struct alignas(64) LaneStats {
  struct PerCommand {
    Counter requests;  // answered, errors included
    Counter bytes;     // of the ranges that were asked for
    Counter errors;
    LatencyHistogram latency;  // from the request's arrival to its reply's last byte
  };
  std::array<PerCommand, stats_commands> commands;
  Counter refused;    // answered with an error before they reached the backend
  Counter in_flight;  // received and not yet answered
  std::atomic<LaneState> state{LaneState::starting};
};

}  // namespace nbdring
