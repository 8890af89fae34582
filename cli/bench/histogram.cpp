#include "cli/bench/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nbdring {
namespace {

/// Walks once through the buckets: it is asked for percentiles that ascend.
class Percentiles {
 public:
  Percentiles(const std::vector<std::uint64_t>& counts, std::uint64_t total, std::uint64_t max)
      : counts_(counts), total_(total), max_(max) {}

  std::uint64_t at(double percent) {
    const double exact = std::ceil(static_cast<double>(total_) * percent / 100);
    const std::uint64_t rank =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(exact), 1, total_);
    while (seen_ < rank) seen_ += counts_[next_++];
    return std::min(LatencyRecord::upper_bound_of(next_ - 1), max_);
  }

 private:
  const std::vector<std::uint64_t>& counts_;
  std::uint64_t total_;
  std::uint64_t max_;
  std::uint64_t seen_ = 0;
  std::size_t next_ = 0;
};

std::vector<double> curve_steps(std::uint64_t total) {
  constexpr double shrink = 7.0 / 8;
  std::vector<double> steps;
  for (double slower = 1; slower * static_cast<double>(total) >= 1; slower *= shrink) {
    steps.push_back(100 * (1 - slower));
  }
  steps.push_back(100);
  return steps;
}

}  // namespace

Latencies summary_of(const std::vector<const LatencyRecord*>& records) {
  std::vector<std::uint64_t> counts(LatencyRecord::buckets, 0);
  Latencies summary;
  std::uint64_t sum = 0;
  for (const LatencyRecord* record : records) {
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += record->counts_[i].get();
    sum += record->sum_.get();
    summary.max = std::max(summary.max, record->max_.get());
  }
  // Summed from the buckets, because a lane may add meanwhile.
  summary.count = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  if (summary.count == 0) return {};
  summary.mean = sum / summary.count;
  Percentiles named(counts, summary.count, summary.max);
  summary.p50 = named.at(50);
  summary.p90 = named.at(90);
  summary.p99 = named.at(99);
  summary.p999 = named.at(99.9);
  Percentiles drawn(counts, summary.count, summary.max);
  for (const double percent : curve_steps(summary.count)) {
    summary.curve.emplace_back(percent, drawn.at(percent));
  }
  return summary;
}

}  // namespace nbdring
