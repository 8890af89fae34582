#include "client/engine/stats.hpp"

#include <cmath>
#include <numeric>

namespace nbdring {

std::uint64_t percentile(const std::array<std::uint64_t, LatencyHistogram::buckets>& sum,
                         double percent) {
  const std::uint64_t total = std::accumulate(sum.begin(), sum.end(), std::uint64_t{0});
  if (total == 0) return 0;
  const auto rank =
      static_cast<std::uint64_t>(std::ceil(static_cast<double>(total) * percent / 100));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    seen += sum[i];
    if (seen >= rank && seen > 0) return LatencyHistogram::upper_bound_of(i);
  }
  return LatencyHistogram::upper_bound_of(sum.size() - 1);
}

const char* name_of(StatsCommand command) {
  constexpr std::array<const char*, stats_commands> names{"read", "write",        "flush",
                                                          "trim", "write_zeroes", "block_status"};
  return names[static_cast<std::size_t>(command)];
}

const char* name_of(LaneState state) {
  constexpr std::array<const char*, 6> names{"starting", "serving", "draining",
                                             "ended",    "paused",  "lost"};
  return names[static_cast<std::size_t>(state)];
}

}  // namespace nbdring
