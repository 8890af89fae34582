#include "cli/direct_status.hpp"

#include <gtest/gtest.h>

#include "cli/report.hpp"

namespace nbdring {
namespace {

// Linux 6.1, of a device that was read, written, discarded and flushed.
constexpr char stat[] =
    "     120        0    19360       88      45        3     2048       61        2      120 "
    "     150        7        0    81920        1        9        4";

DeviceRecord record() {
  DeviceRecord record;
  record.kernel_path = true;
  record.connections = 2;
  record.backend = "nbd://host/";
  record.started = 100;
  return record;
}

BackendHealth serving() {
  BackendHealth remote;
  remote.state = "serving";
  remote.endpoint = "host:10809";
  return remote;
}

const CommandStatus& of(const CommandStatuses& commands, StatsCommand wanted) {
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (driver_commands[i] == wanted) return commands[i];
  }
  ADD_FAILURE();
  return commands[0];
}

TEST(DirectStatus, TheKernelsCountersAreRead) {
  const CommandStatuses commands = commands_of_stat(stat);
  EXPECT_EQ(of(commands, StatsCommand::read).requests, 120U);
  EXPECT_EQ(of(commands, StatsCommand::read).bytes, 19360U * 512);
  EXPECT_EQ(of(commands, StatsCommand::write).requests, 45U);
  EXPECT_EQ(of(commands, StatsCommand::write).bytes, 2048U * 512);
  EXPECT_EQ(of(commands, StatsCommand::trim).requests, 7U);
  EXPECT_EQ(of(commands, StatsCommand::trim).bytes, 81920U * 512);
  EXPECT_EQ(of(commands, StatsCommand::flush).requests, 9U);
  EXPECT_EQ(of(commands, StatsCommand::write_zeroes).requests, 0U);
}

TEST(DirectStatus, AShortLineCountsAsFarAsItGoes) {
  EXPECT_EQ(of(commands_of_stat("5 0 8 1"), StatsCommand::read).bytes, 8U * 512);
  EXPECT_EQ(commands_of_stat(""), CommandStatuses());
}

TEST(DirectStatus, ALostConnectionIsSeen) {
  const DeviceStatus whole = direct_status(record(), {true, true}, serving(), stat, 2, 160);
  EXPECT_EQ(whole.state, "serving");
  EXPECT_EQ(whole.uptime, 60U);
  EXPECT_EQ(whole.total.in_flight, 2U);
  EXPECT_EQ(whole.total.all.requests, 120U + 45 + 7 + 9);
  const DeviceStatus less = direct_status(record(), {true, false}, serving(), stat, 0, 160);
  EXPECT_EQ(less.state, "degraded");
  EXPECT_EQ(less.lanes[1].state, "lost");
  BackendHealth away = serving();
  away.state = "recovering";
  EXPECT_EQ(direct_status(record(), {false, false}, away, stat, 0, 160).state, "recovering");
}

TEST(DirectStatus, TheReportSaysWhatNobodyKnowsAndWhatIsNotKept) {
  const std::string text =
      status_table(direct_status(record(), {true, true}, serving(), stat, 0, 160));
  EXPECT_NE(text.find("path     kernel"), std::string::npos) << text;
  EXPECT_NE(text.find("not written again after a crash"), std::string::npos) << text;
  EXPECT_EQ(text.find("0 ns"), std::string::npos) << text;
  EXPECT_EQ(text.find("not flushed"), std::string::npos) << text;
}

TEST(DirectStatus, WhatNobodyCountsIsNoMetric) {
  const std::string text =
      status_prometheus(direct_status(record(), {true, true}, serving(), stat, 3, 160));
  EXPECT_NE(text.find("lane=\"all\",command=\"read\"} 120\n"), std::string::npos) << text;
  EXPECT_NE(text.find("lane=\"all\"} 3\n"), std::string::npos) << text;
  for (const char* unknown : {"latency_seconds", "errors_total", "refused_requests"}) {
    EXPECT_EQ(text.find(unknown), std::string::npos) << unknown;
  }
}

TEST(DirectStatus, TheRecordKeepsThePath) {
  DeviceRecord kept = record();
  kept.server_flags = 0x12d;
  const auto back = record_from_json(to_json(kept));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, kept);
}

}  // namespace
}  // namespace nbdring
