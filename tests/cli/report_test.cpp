#include "cli/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace nbdring {
namespace {

DeviceRecord some_record() {
  DeviceRecord record;
  record.index = 0;
  record.id = record.backend = "file:/srv/disk.img";
  record.size = std::uint64_t{64} << 30;
  record.block_size = 512;
  record.connections = 2;
  record.pid = 4321;
  record.started = 1'790'000'000;
  return record;
}

// Lane 0 has read, lane 1 has written and failed once.
struct TwoLanes {
  LaneStats first;
  LaneStats second;

  TwoLanes() {
    using std::chrono::microseconds;
    first.state = second.state = LaneState::serving;
    auto& reads = first.commands[static_cast<std::size_t>(StatsCommand::read)];
    reads.requests.add(1000);
    reads.bytes.add(4'096'000);
    reads.latency.add(microseconds(50), 990);
    reads.latency.add(microseconds(2000), 10);
    auto& writes = second.commands[static_cast<std::size_t>(StatsCommand::write)];
    writes.requests.add(10);
    writes.bytes.add(10 << 20);
    writes.errors.add(1);
    writes.latency.add(microseconds(3000), 10);
    second.in_flight.set(3);
    second.refused.add(2);
  }
  DeviceStatus status() const {
    return collect_status(some_record(), {&first, &second}, 1'790'003'900);
  }
};

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

TEST(Report, StatusTableIsThis) {
  EXPECT_EQ(status_table(TwoLanes().status()),
            R"(/dev/nbd0  serving  64.0 GiB  pid 4321  up 1 h 5 min
backend  file:/srv/disk.img

COMMAND       REQUESTS     BYTES  ERRORS      P50      P99    P99.9
read              1000  3.91 MiB       0  57.3 us  57.3 us  2.10 ms
write               10  10.0 MiB       1  3.15 ms  3.15 ms  3.15 ms
flush                0       0 B       0        -        -        -
trim                 0       0 B       0        -        -        -
write_zeroes         0       0 B       0        -        -        -
all               1010  13.9 MiB       1  57.3 us  2.10 ms  3.15 ms

LANE  STATE    IN FLIGHT  REFUSED  REQUESTS     BYTES  ERRORS      P99
   0  serving          0        0      1000  3.91 MiB       0  57.3 us
   1  serving          3        2        10  10.0 MiB       1  3.15 ms
)");
}

TEST(Report, StatusTableFitsEightyColumnsHoweverLargeTheNumbers) {
  TwoLanes lanes;
  constexpr std::uint64_t many = 999'999'999'999;
  auto& reads = lanes.first.commands[0];
  reads.requests.add(many);
  reads.bytes.add(std::uint64_t{1} << 62);
  reads.errors.add(99'999'999);
  reads.latency.add(std::chrono::hours(1), many * 100);
  lanes.first.in_flight.set(128);
  lanes.first.refused.add(999'999);
  const auto status = lanes.status();
  EXPECT_LE(widest_line(status_table(status, Earlier{status, 1})), 80U);
}

TEST(Report, RatesAreThoseOfTheTimeBetween) {
  TwoLanes lanes;
  const auto before = lanes.status();
  lanes.first.commands[0].requests.add(500);
  lanes.first.commands[0].bytes.add(1 << 20);
  const auto after = lanes.status();
  EXPECT_THAT(
      status_table(after, Earlier{before, 0.5}),
      ::testing::HasSubstr("now      1000 requests/s  read 2.00 MiB/s  write 0 B/s  in flight 3"));
}

TEST(Report, StatusSurvivesTheWayThroughJson) {
  const auto status = TwoLanes().status();
  EXPECT_EQ(status_from_json(to_json(status)), status);
}

TEST(Report, JsonOfAnotherVersionIsNoStatus) {
  auto json = nlohmann::json::parse(to_json(TwoLanes().status()));
  json["totals"].erase("read");
  EXPECT_FALSE(status_from_json(json.dump()).has_value());
  EXPECT_FALSE(status_from_json("").has_value());
  EXPECT_FALSE(status_from_json("[1]").has_value());
}

TEST(Report, JsonHasTheNumbersUnderTheirNames) {
  const auto json = nlohmann::json::parse(to_json(TwoLanes().status()));
  EXPECT_EQ(json["device"], "/dev/nbd0");
  EXPECT_EQ(json["state"], "serving");
  EXPECT_EQ(json["uptime"], 3900);
  EXPECT_EQ(json["totals"]["read"]["requests"], 1000);
  EXPECT_EQ(json["totals"]["write"]["latency_ns"]["p99"], 3145727);
  EXPECT_EQ(json["lanes"][1]["in_flight"], 3);
}

TEST(Report, ALaneThatEndedMakesTheDeviceDegraded) {
  TwoLanes lanes;
  lanes.first.state = LaneState::ended;
  EXPECT_EQ(lanes.status().state, "degraded");
  lanes.second.state = LaneState::ended;
  EXPECT_EQ(lanes.status().state, "ended");
}

TEST(Report, PrometheusHasEverySample) {
  auto status = TwoLanes().status();
  status.record.id = "a \"quoted\" \\ id";
  const std::string text = status_prometheus(status);
  for (const char* line : {
           "nbdring_device_info{device=\"nbd0\",id=\"a \\\"quoted\\\" \\\\ id\",name=\"\","
           "backend=\"file:/srv/disk.img\"} 1\n",
           "nbdring_size_bytes{device=\"nbd0\"} 68719476736\n",
           "nbdring_lane_serving{device=\"nbd0\",lane=\"1\"} 1\n",
           "nbdring_in_flight_requests{device=\"nbd0\",lane=\"1\"} 3\n",
           "nbdring_refused_requests_total{device=\"nbd0\",lane=\"1\"} 2\n",
           "nbdring_requests_total{device=\"nbd0\",lane=\"0\",command=\"read\"} 1000\n",
           "nbdring_bytes_total{device=\"nbd0\",lane=\"1\",command=\"write\"} 10485760\n",
           "nbdring_errors_total{device=\"nbd0\",lane=\"1\",command=\"write\"} 1\n",
           "nbdring_latency_seconds{device=\"nbd0\",command=\"write\",quantile=\"0.99\"} "
           "0.003145727\n",
       }) {
    EXPECT_THAT(text, ::testing::HasSubstr(line));
  }
}

TEST(Report, PrometheusNamesEachMetricOnceBeforeItsSamples) {
  std::istringstream lines(status_prometheus(TwoLanes().status()));
  std::string current;
  std::vector<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_THAT(seen, ::testing::Not(::testing::Contains(current)));
      seen.push_back(current);
    } else if (!line.starts_with("# HELP ")) {
      EXPECT_TRUE(line.starts_with(current + "{")) << line;
    }
  }
  EXPECT_GE(seen.size(), 9U);
}

TEST(Report, ListIsATableWithTheBackendLast) {
  KnownDevice serving{some_record(), true};
  KnownDevice gone{some_record(), false};
  gone.record.index = 12;
  gone.record.name = "srv";
  gone.record.read_only = true;
  EXPECT_EQ(list_table({serving, gone}),
            R"(DEVICE          SIZE  MODE  CONNS   PID  STATE        NAME  BACKEND
/dev/nbd0   64.0 GiB  rw        2  4321  serving      -     file:/srv/disk.img
/dev/nbd12  64.0 GiB  ro        2  4321  engine gone  srv   file:/srv/disk.img
)");
}

TEST(Report, AnEmptyListIsNothingAndAnEmptyArray) {
  EXPECT_EQ(list_table({}), "");
  EXPECT_EQ(list_json({}), "[]\n");
}

DeviceStatus of_a_remote() {
  BackendHealth remote;
  remote.state = "recovering";
  remote.since = std::chrono::milliseconds(1500);
  remote.reconnects = 2;
  remote.replayed_writes = 7;
  remote.replayed_bytes = 28672;
  remote.volatile_writes = 3;
  remote.volatile_bytes = 12288;
  remote.longest_stall = std::chrono::milliseconds(2500);
  remote.last_reason = "it \033[2Jbroke \xff";
  remote.endpoint = "nas:10809";
  remote.tls = "TLS1.3 AES-128-GCM";
  const TwoLanes lanes;
  return collect_status(some_record(), {&lanes.first, &lanes.second}, 1'790'003'900, remote);
}

TEST(Report, StatusTellsHowARemoteIsDoing) {
  const std::string table = status_table(of_a_remote());
  EXPECT_THAT(table, testing::StartsWith("/dev/nbd0  recovering  "));
  EXPECT_THAT(table, testing::HasSubstr(
                         "remote   nas:10809  recovering for 1.50 s  TLS1.3 AES-128-GCM\n"
                         "         12.0 KiB not flushed  reconnects 2  written again 7 (28.0 KiB)"
                         "  longest stall 2.50 s\n"));
  EXPECT_EQ(table.find('\033'), std::string::npos);
  const std::string exposition = status_prometheus(of_a_remote());
  EXPECT_THAT(
      exposition,
      testing::HasSubstr("nbdring_remote_serving{device=\"nbd0\",endpoint=\"nas:10809\"} 0\n"));
  EXPECT_THAT(exposition,
              testing::HasSubstr("nbdring_remote_replayed_bytes_total{device=\"nbd0\"} 28672\n"));
}

TEST(Report, ARemotesStatusTravelsAsJson) {
  DeviceStatus status = of_a_remote();
  status.remote.last_reason = "the server closed the connection";
  EXPECT_EQ(status_from_json(to_json(status)), status);
  EXPECT_EQ(nlohmann::json::parse(to_json(status))["remote"]["since_ms"], 1500);
  EXPECT_FALSE(nlohmann::json::parse(to_json(TwoLanes().status())).contains("remote"));
  // Whatever bytes a server says are no reason to have no status.
  EXPECT_TRUE(status_from_json(to_json(of_a_remote())).has_value());
}

TEST(Report, APeerIsShownAndTravelsAsJson) {
  DeviceStatus status = TwoLanes().status();
  EXPECT_EQ(status_table(status).find("peer "), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(to_json(status)).contains("peer"));
  status.peer = {"cd", "serving", "192.0.2.1", "alice\033", 2, 65, 0, 1, ""};
  EXPECT_EQ(status_from_json(to_json(status)), status);
  EXPECT_THAT(status_table(status),
              testing::HasSubstr("peer     192.0.2.1  alice?  configuration cd  serving"
                                 "  connected for 1 min  connections 2  came back 1\n"));
  status.peer = {"cd", "away", "192.0.2.1", "", 0, 0, 5, 0, "I/O waits"};
  EXPECT_EQ(status_from_json(to_json(status)), status);
  EXPECT_THAT(status_table(status),
              testing::HasSubstr("peer     192.0.2.1  configuration cd  away for 5 s\n"
                                 "         I/O waits\n"));
}

DeviceStatus after_a_stall() {
  DeviceStatus status = TwoLanes().status();
  status.record.keeper = 4320;
  status.last_stall = {"engine died: signal 9\033", 1'790'003'000, 84, 5300, 3};
  status.engine_restarts = 2;
  status.lost_connections = 5;
  status.refilled = 4;
  status.fenced = 7;
  return status;
}

TEST(Report, AStallIsShownAndTravelsAsJson) {
  EXPECT_EQ(status_table(TwoLanes().status()).find("stalls"), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(to_json(TwoLanes().status())).contains("last_stall"));
  const DeviceStatus status = after_a_stall();
  EXPECT_EQ(status_from_json(to_json(status)), status);
  const std::string table = status_table(status);
  EXPECT_THAT(table, testing::HasSubstr("  pid 4321  keeper 4320  up "));
  EXPECT_THAT(table, testing::HasSubstr("stalls   3  the last 84.0 ms (in flight 5.30 s)  " +
                                        moment_text(1'790'003'000) + "\n" +
                                        "         engine died: signal 9?\n"));
  EXPECT_THAT(table,
              testing::HasSubstr("lost     connections 5  replaced 4  changes that waited 7\n"));
  EXPECT_LE(widest_line(table), 80U);
}

TEST(Report, PrometheusCountsStallsAndConnections) {
  const std::string text = status_prometheus(after_a_stall());
  for (const char* line : {
           "nbdring_stalls_total{device=\"nbd0\"} 3\n",
           "nbdring_last_stall_seconds{device=\"nbd0\"} 0.084\n",
           "nbdring_last_stall_in_flight_seconds{device=\"nbd0\"} 5.300\n",
           "nbdring_engine_restarts_total{device=\"nbd0\"} 2\n",
           "nbdring_lost_connections_total{device=\"nbd0\"} 5\n",
           "nbdring_refilled_connections_total{device=\"nbd0\"} 4\n",
           "nbdring_fenced_changes_total{device=\"nbd0\"} 7\n",
       }) {
    EXPECT_THAT(text, testing::HasSubstr(line));
  }
}

TEST(Report, ALostLaneMakesTheDeviceDegraded) {
  TwoLanes lanes;
  lanes.second.state = LaneState::lost;
  EXPECT_EQ(lanes.status().state, "degraded");
  lanes.first.state = LaneState::lost;
  EXPECT_EQ(lanes.status().state, "degraded");
}

TEST(Report, ListTellsWhoseEngineIsBeingReplaced) {
  KnownDevice device{some_record(), true};
  device.record.recovering = true;
  EXPECT_EQ(nlohmann::json::parse(list_json({device}))[0]["state"], "recovering");
}

TEST(Report, ListJsonTellsTheState) {
  const auto json = nlohmann::json::parse(list_json({{some_record(), false}}));
  EXPECT_EQ(json[0]["device"], "/dev/nbd0");
  EXPECT_EQ(json[0]["state"], "engine gone");
}

TEST(Report, ControlCharactersNeverReachTheTerminal) {
  KnownDevice device{some_record(), true};
  device.record.backend = "file:/a\033[2Jb";
  EXPECT_EQ(list_table({device}).find('\033'), std::string::npos);
}

TEST(Report, BytesAndTimesAreShort) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1.00 KiB");
  EXPECT_EQ(bytes_text(5000), "4.88 KiB");
  EXPECT_EQ(bytes_text((1 << 20) - 1), "1.00 MiB");
  EXPECT_EQ(bytes_text(~std::uint64_t{0}), "16.0 EiB");
  EXPECT_EQ(latency_text(999), "999 ns");
  EXPECT_EQ(latency_text(52'100), "52.1 us");
  EXPECT_EQ(latency_text(999'600), "1.00 ms");
  EXPECT_EQ(latency_text(30'000'000'000), "30.0 s");
  EXPECT_EQ(uptime_text(59), "59 s");
  EXPECT_EQ(uptime_text(3600), "1 h 0 min");
  EXPECT_EQ(uptime_text(90'000), "1 d 1 h");
}

}  // namespace
}  // namespace nbdring
