#include "cli/bench/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/report.hpp"
#include "client/protocol/handshake_text.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t name_shown_max = 1024;
constexpr double nanoseconds_per_microsecond = 1000;

std::uint64_t rounded(double value) { return static_cast<std::uint64_t>(std::llround(value)); }

std::string rate_text(double bytes_per_second) {
  return bytes_text(rounded(bytes_per_second)) + "/s";
}

std::string time_text(double nanoseconds) { return latency_text(rounded(nanoseconds)); }

// All digits up to a million: what is compared by eye is better without an exponent.
std::string count_text(double count) {
  if (count < 9'999'999.5) return std::to_string(rounded(count));
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f M", count / 1e6);
  return text.data();
}

std::optional<double> per_second(const BenchResult& result, std::uint64_t count) {
  if (result.seconds <= 0) return std::nullopt;
  return static_cast<double>(count) / result.seconds;
}

std::optional<double> latency(const BenchResult& result, std::uint64_t nanoseconds) {
  if (result.latencies.count == 0) return std::nullopt;
  return static_cast<double>(nanoseconds);
}

std::optional<double> cpu(const BenchResult& result, std::optional<double> microseconds) {
  if (result.requests == 0 || !microseconds) return std::nullopt;
  return *microseconds * nanoseconds_per_microsecond;
}

// In the order of MeasureName.
constexpr std::array<Measure, 7> measures{{
    {"THROUGHPUT", [](const BenchResult& r) { return per_second(r, r.bytes); }, rate_text},
    {"IOPS", [](const BenchResult& r) { return per_second(r, r.requests); }, count_text},
    {"P50", [](const BenchResult& r) { return latency(r, r.latencies.p50); }, time_text},
    {"P99", [](const BenchResult& r) { return latency(r, r.latencies.p99); }, time_text},
    {"P99.9", [](const BenchResult& r) { return latency(r, r.latencies.p999); }, time_text},
    {"CLIENT", [](const BenchResult& r) { return cpu(r, r.client_cpu_us); }, time_text},
    {"ENGINE", [](const BenchResult& r) { return cpu(r, r.engine_cpu_us); }, time_text},
}};

void look_through(Summaries& summaries, const std::vector<BenchResult>& results) {
  for (const BenchResult& result : results) {
    summaries.has_engine |= result.engine_cpu_us.has_value();
    summaries.has_rounds |= result.round > 1;
    if (result.target_index >= summaries.targets.size()) {
      summaries.targets.resize(result.target_index + std::size_t{1});
    }
    summaries.targets[result.target_index] = printable(result.target, name_shown_max);
    auto& points = summaries.points;
    if (std::find(points.begin(), points.end(), result.point) == points.end()) {
      points.push_back(result.point);
    }
  }
}

std::vector<const BenchResult*> rounds_of(const std::vector<BenchResult>& results,
                                          std::size_t target, const BenchPoint& point) {
  std::vector<const BenchResult*> whole;
  std::vector<const BenchResult*> cut_short;
  for (const BenchResult& result : results) {
    if (result.target_index != target || !(result.point == point)) continue;
    (result.was_interrupted ? cut_short : whole).push_back(&result);
  }
  auto& rounds = whole.empty() ? cut_short : whole;
  std::stable_sort(rounds.begin(), rounds.end(),
                   [](const auto* left, const auto* right) { return left->round < right->round; });
  return std::move(rounds);
}

}  // namespace

const Measure& measure(MeasureName name) { return measures[static_cast<std::size_t>(name)]; }

std::optional<Spread> spread_of(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return Spread{median, values.front(), values.back()};
}

std::optional<Spread> Summary::spread(MeasureName name) const {
  std::vector<double> values;
  for (const BenchResult* result : rounds) {
    if (const auto value = measure(name).value(*result)) values.push_back(*value);
  }
  return spread_of(std::move(values));
}

std::string Summary::cell(MeasureName name) const {
  const auto known = spread(name);
  return known ? measure(name).text(known->median) : "-";
}

const BenchResult* Summary::of_round(unsigned round) const {
  const auto found = std::find_if(rounds.begin(), rounds.end(), [round](const BenchResult* result) {
    return result->round == round;
  });
  return found == rounds.end() ? nullptr : *found;
}

Summaries summarize(const std::vector<BenchResult>& results) {
  Summaries summaries;
  look_through(summaries, results);
  for (const BenchPoint& point : summaries.points) {
    for (std::size_t target = 0; target < summaries.targets.size(); ++target) {
      auto rounds = rounds_of(results, target, point);
      if (!rounds.empty()) summaries.rows.push_back(Summary{target, point, std::move(rounds)});
    }
  }
  return summaries;
}

std::string letter_of(std::size_t target) {
  constexpr std::size_t letters = 26;
  if (target >= letters) return std::to_string(target + 1);
  return std::string(1, static_cast<char>('A' + target));
}

}  // namespace nbdring
