#include "client/runtime/log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

// What `speak` writes to a log of this level and format.
std::string written(LogLevel level, LogFormat format, const std::function<void(Log&)>& speak) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  Log log(level, format, writing.get());
  speak(log);
  writing.reset();
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 1; count > 0;) {
    count = ::read(reading.get(), buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::string as_text(const std::function<void(Log&)>& speak) {
  return written(LogLevel::debug, LogFormat::text, speak);
}

TEST(Log, TextNamesTheLevelUnlessItIsOrdinary) {
  EXPECT_EQ(as_text([](Log& log) { log.error("one"); }), "nbdring: error: one\n");
  EXPECT_EQ(as_text([](Log& log) { log.warning("two"); }), "nbdring: warning: two\n");
  EXPECT_EQ(as_text([](Log& log) { log.info("three"); }), "nbdring: three\n");
  EXPECT_EQ(as_text([](Log& log) { log.debug("four"); }), "nbdring: debug: four\n");
}

TEST(Log, TextQuotesFieldsWhereTheyNeedIt) {
  EXPECT_EQ(as_text([](Log& log) {
              log.info("served", {{"plain", "x=1"}, {"spaced", "a b"}, {"empty", ""}});
            }),
            "nbdring: served plain=x=1 spaced=\"a b\" empty=\"\"\n");
}

TEST(Log, NoValueReachesTheTerminalRaw) {
  const auto speak = [](Log& log) { log.info("a\x1b[2Jb\n", {{"name", "x\"\\\r"}}); };
  EXPECT_EQ(as_text(speak), "nbdring: a\\u001b[2Jb\\u000a name=\"x\\\"\\\\\\u000d\"\n");
}

TEST(Log, JsonIsOneObjectPerLine) {
  const std::string line = written(LogLevel::info, LogFormat::json, [](Log& log) {
    log.warning("client \"x\"", {{"reason", "a\tb"}});
  });
  const std::regex shape(R"(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"warning",)"
                         R"("message":"client \\"x\\"","reason":"a\\u0009b"\}\n)");
  EXPECT_TRUE(std::regex_match(line, shape)) << line;
}

TEST(Log, KeepsQuietBelowItsLevel) {
  const auto speak = [](Log& log) {
    log.error("1");
    log.warning("2");
    log.info("3");
    log.debug("4");
  };
  EXPECT_EQ(written(LogLevel::error, LogFormat::text, speak), "nbdring: error: 1\n");
  EXPECT_EQ(written(LogLevel::warning, LogFormat::text, speak),
            "nbdring: error: 1\nnbdring: warning: 2\n");
  EXPECT_EQ(written(LogLevel::info, LogFormat::text, speak),
            "nbdring: error: 1\nnbdring: warning: 2\nnbdring: 3\n");
  EXPECT_TRUE(Log(LogLevel::info, LogFormat::text).shows(LogLevel::warning));
  EXPECT_FALSE(Log(LogLevel::info, LogFormat::text).shows(LogLevel::debug));
}

TEST(Log, LinesOfThreadsAreNeverMixed) {
  const std::string text = as_text([](Log& log) {
    std::vector<std::thread> threads;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      threads.emplace_back([&log, letter] {
        for (int i = 0; i < 50; ++i) log.info(std::string(100, letter));
      });
    }
    for (auto& thread : threads) thread.join();
  });
  std::istringstream lines(text);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    ASSERT_EQ(line, "nbdring: " + std::string(100, line.back()));
  }
  EXPECT_EQ(count, 200);
}

TEST(Log, LeavesOutWhatIsBeyondItsLimit) {
  const std::string text = as_text([](Log& log) {
    log.limit(2);
    for (const char* line : {"1", "2", "3", "4"}) log.info(line);
  });
  EXPECT_EQ(text, "nbdring: 1\nnbdring: 2\n");
}

TEST(Log, SurvivesAClosedDescriptor) {
  Log log(LogLevel::info, LogFormat::text, -1);
  log.error("nobody hears this");
}

}  // namespace
}  // namespace nbdring
