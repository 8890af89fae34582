#include "cli/bench/table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/bench/columns.hpp"
#include "cli/bench/summary.hpp"
#include "cli/report.hpp"
#include "client/protocol/handshake_text.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
  return text.data();
}

// "3 rounds of 5.0 s (medians); CLIENT, ENGINE: CPU per request"
std::string how_measured(const Summaries& summaries) {
  std::vector<double> seconds;
  std::size_t rounds = 0;
  for (const Summary& row : summaries.rows) {
    rounds = std::max(rounds, row.rounds.size());
    for (const BenchResult* result : row.rounds) seconds.push_back(result->seconds);
  }
  const std::string time = seconds_text(spread_of(seconds)->largest);
  return (rounds == 1 ? time + " each"
                      : std::to_string(rounds) + " rounds of " + time + " (medians)") +
         (summaries.has_engine ? "; CLIENT, ENGINE: CPU per request"
                               : "; CLIENT: CPU per request") +
         "\n";
}

std::string table_of(const Summaries& summaries, const Parts& varying) {
  std::vector<MeasureName> shown{MeasureName::throughput, MeasureName::iops, MeasureName::p50,
                                 MeasureName::p99,        MeasureName::p999, MeasureName::client};
  if (summaries.has_engine) shown.push_back(MeasureName::engine);
  std::vector<std::string> heads;
  for (const MeasureName name : shown) heads.emplace_back(measure(name).head);
  PointTable table(varying, heads);
  for (const Summary& row : summaries.rows) {
    std::vector<std::string> cells;
    for (const MeasureName name : shown) cells.push_back(row.cell(name));
    table.add(row, std::move(cells));
  }
  return table.text();
}

// What must be known of one result beside its numbers.
std::vector<std::string> remarks(const BenchResult& result, const Summary& row) {
  std::vector<std::string> said;
  if (result.errors > 0) {
    said.push_back(std::to_string(result.errors) +
                   (result.errors == 1 ? " request failed" : " requests failed"));
  }
  if (result.wrong > 0) {
    said.push_back("WRONG BYTES in " + std::to_string(result.wrong) +
                   (result.wrong == 1 ? " block" : " blocks") + " of " +
                   bytes_text(result.verified) + " read back");
  }
  if (!result.trouble.empty()) said.push_back(printable(result.trouble, 1024));
  if (result.was_interrupted) {
    const bool counts = row.of_round(result.round) == &result;
    said.push_back("interrupted after " + seconds_text(result.seconds) +
                   (counts ? "" : ", not counted"));
  }
  return said;
}

const Summary& row_of(const Summaries& summaries, const BenchResult& result) {
  const auto found =
      std::find_if(summaries.rows.begin(), summaries.rows.end(), [&result](const Summary& row) {
        return row.target == result.target_index && row.point == result.point;
      });
  ENSURE(found != summaries.rows.end());
  return *found;
}

std::string remarks_of(const std::vector<BenchResult>& results, const Summaries& summaries,
                       const Parts& varying) {
  std::string text;
  std::uint64_t verified = 0;
  std::uint64_t wrong = 0;
  for (const BenchResult& result : results) {
    verified += result.verified;
    wrong += result.wrong;
    const Summary& row = row_of(summaries, result);
    std::string where = phrases(varying, row);
    if (summaries.has_rounds) {
      where += (where.empty() ? "" : ", ") + ("round " + std::to_string(result.round));
    }
    for (const std::string& remark : remarks(result, row)) {
      text += (where.empty() ? "" : where + ": ") + remark + "\n";
    }
  }
  if (verified > 0 && wrong == 0) text += bytes_text(verified) + " read back, all as written\n";
  return text.empty() ? "" : "\n" + text;
}

}  // namespace

std::string bench_table(const std::vector<BenchResult>& results) {
  if (results.empty()) return "";
  const Summaries summaries = summarize(results);
  const Distinction distinction(summaries);
  return heading(summaries, distinction) + how_measured(summaries) + "\n" +
         table_of(summaries, distinction.varying) +
         remarks_of(results, summaries, distinction.varying);
}

}  // namespace nbdring
