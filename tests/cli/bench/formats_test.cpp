#include "cli/bench/formats.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/bench/sample_results.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

const BenchRun some_run{{"nbdring", "bench", "a b"}, 1'790'000'000, 12.5};

TEST(BenchJson, TellsWhatRanWhere) {
  const auto json = Json::parse(bench_json(two_depths(), some_run));
  EXPECT_EQ(json["version"], NBDRING_VERSION);
  EXPECT_EQ(json["command_line"], (Json{"nbdring", "bench", "a b"}));
  EXPECT_EQ(json["started"], 1'790'000'000);
  EXPECT_EQ(json["seconds"], 12.5);
  EXPECT_FALSE(json["machine"]["kernel"].get<std::string>().empty());
  EXPECT_GE(json["machine"]["processors"], 1);
}

TEST(BenchJson, HasEveryNumberUnderItsName) {
  auto results = two_targets_three_rounds();
  results[1].point.pattern = Pattern::zipf;
  results[1].point.theta = 0.9;
  const auto json = Json::parse(bench_json(results, some_run));
  ASSERT_EQ(json["results"].size(), 6U);
  auto second = json["results"][1];
  EXPECT_EQ(second["latency_curve"][4], Json::parse(R"({"percentile": 99.9, "ns": 1066665})"));
  second.erase("latency_curve");
  EXPECT_EQ(second, Json::parse(R"({
    "target": "nbd+unix:///?socket=/tmp/sock", "target_index": 1,
    "pattern": "zipf", "theta": 0.9, "read_percent": 100, "block_size_bytes": 4096,
    "depth": 32, "connections": 1, "round": 1, "seconds": 1.0,
    "requests": 150000, "bytes": 614400000, "errors": 0, "verified_bytes": 0, "wrong_blocks": 0,
    "bytes_per_second": 614400000.0, "requests_per_second": 150000.0,
    "p50_ns": 213333, "p90_ns": 426666, "p99_ns": 639999, "p999_ns": 1066665,
    "max_ns": 8533320, "mean_ns": 213340,
    "client_cpu_ns_per_request": 2500.0, "engine_cpu_ns_per_request": 1250.0,
    "was_interrupted": false, "trouble": ""})"));
}

TEST(BenchJson, WhatWasNotMeasuredIsNull) {
  const auto json = Json::parse(bench_json({BenchResult()}, some_run));
  for (const char* name : {"theta", "bytes_per_second", "p50_ns", "max_ns",
                           "client_cpu_ns_per_request", "engine_cpu_ns_per_request"}) {
    EXPECT_TRUE(json["results"][0][name].is_null()) << name;
  }
}

TEST(BenchJson, AnyByteInANameIsStillJson) {
  auto results = two_depths();
  results[0].target = "file:/\xff\"\n";
  EXPECT_EQ(Json::parse(bench_json(results, some_run))["results"][0]["target"],
            "file:/\xef\xbf\xbd\"\n");
}

TEST(BenchCsv, HasALineForEachResultAndTheNamesOfJson) {
  const auto results = two_targets_three_rounds();
  const auto lines = lines_of(bench_csv(results));
  ASSERT_EQ(lines.size(), 7U);
  auto json = Json::parse(bench_json(results, some_run))["results"][0];
  json.erase("latency_curve");
  std::string names;
  for (const auto& [name, value] : json.items()) names += (names.empty() ? "" : ",") + name;
  EXPECT_EQ(lines[0], names);
  EXPECT_EQ(lines[1],
            "memory:1G,0,random,,100,4096,32,1,1,1.0,100000,409600000,0,0,0,409600000.0,100000.0,"
            "320000,640000,960000,1600000,12800000,320007,2500.0,,false,");
}

TEST(BenchCsv, QuotesWhatWouldBeTwoCells) {
  auto results = two_depths();
  results[0].target = "exec:a \"b\", c";
  results[0].trouble = "two\nlines";
  const std::string text = bench_csv(results);
  EXPECT_THAT(text, ::testing::HasSubstr("\n\"exec:a \"\"b\"\", c\",0,"));
  EXPECT_THAT(text, ::testing::HasSubstr(",false,\"two\nlines\"\n"));
}

TEST(BenchCsv, OfNothingIsTheNames) { EXPECT_EQ(lines_of(bench_csv({})).size(), 1U); }

}  // namespace
}  // namespace nbdring
