#include "cli/bench/formats.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/bench/summary.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

void add_load(Json& json, const BenchPoint& point) {
  json["pattern"] = name_of(point.pattern);
  json["theta"] = point.pattern == Pattern::zipf ? Json(point.theta) : Json(nullptr);
  json["read_percent"] = point.read_percent;
  json["block_size_bytes"] = point.block_size;
  json["depth"] = point.depth;
  json["connections"] = point.connections;
}

void add_latencies(Json& json, const Latencies& latencies) {
  const bool known = latencies.count > 0;
  const auto add = [&json, known](const char* name, std::uint64_t value) {
    json[name] = known ? Json(value) : Json(nullptr);
  };
  add("p50_ns", latencies.p50);
  add("p90_ns", latencies.p90);
  add("p99_ns", latencies.p99);
  add("p999_ns", latencies.p999);
  add("max_ns", latencies.max);
  add("mean_ns", latencies.mean);
}

Json json_of(const BenchResult& result) {
  Json json;
  json["target"] = result.target;
  json["target_index"] = result.target_index;
  add_load(json, result.point);
  json["round"] = result.round;
  json["seconds"] = result.seconds;
  json["requests"] = result.requests;
  json["bytes"] = result.bytes;
  json["errors"] = result.errors;
  json["verified_bytes"] = result.verified;
  json["wrong_blocks"] = result.wrong;
  json["bytes_per_second"] = or_null(measure(MeasureName::throughput).value(result));
  json["requests_per_second"] = or_null(measure(MeasureName::iops).value(result));
  add_latencies(json, result.latencies);
  json["client_cpu_ns_per_request"] = or_null(measure(MeasureName::client).value(result));
  json["engine_cpu_ns_per_request"] = or_null(measure(MeasureName::engine).value(result));
  json["was_interrupted"] = result.was_interrupted;
  json["trouble"] = result.trouble;
  return json;
}

Json curve_of(const Latencies& latencies) {
  Json curve = Json::array();
  for (const auto& [percentile, latency] : latencies.curve) {
    curve.push_back({{"percentile", percentile}, {"ns", latency}});
  }
  return curve;
}

Json machine() {
  utsname system{};
  ::uname(&system);
  cpu_set_t processors;
  CPU_ZERO(&processors);
  ::sched_getaffinity(0, sizeof(processors), &processors);
  return {{"kernel", system.release},
          {"architecture", system.machine},
          {"processors", CPU_COUNT(&processors)}};
}

// What is not UTF-8 in a path shows as U+FFFD; it is no reason to print nothing.
std::string text_of(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string csv_cell(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return text_of(value, -1);
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string bench_json(const std::vector<BenchResult>& results, const BenchRun& run) {
  Json json;
  json["version"] = NBDRING_VERSION;
  json["command_line"] = run.command_line;
  json["started"] = run.started;
  json["seconds"] = run.seconds;
  json["machine"] = machine();
  json["results"] = Json::array();
  for (const BenchResult& result : results) {
    Json one = json_of(result);
    one["latency_curve"] = curve_of(result.latencies);
    json["results"].push_back(std::move(one));
  }
  return text_of(json, 2) + "\n";
}

std::string bench_csv(const std::vector<BenchResult>& results) {
  std::string text;
  const auto add_line = [&text](const Json& fields, bool names) {
    std::string line;
    for (const auto& [name, value] : fields.items()) {
      line += (line.empty() ? "" : ",") + (names ? name : csv_cell(value));
    }
    text += line + "\n";
  };
  add_line(json_of(BenchResult()), true);
  for (const BenchResult& result : results) add_line(json_of(result), false);
  return text;
}

}  // namespace nbdring
