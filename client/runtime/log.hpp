#pragma once
// What the program says while it runs: one line per event on standard error, as text or as JSON,
// each written by one write(2) so that threads never mix their lines. Created in main, passed by
// reference. Never used on the data path: a device may hold the very file system that the log is
// written to.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace nbdring {

enum class LogLevel { error, warning, info, debug };
enum class LogFormat { text, json };

class Log {
 public:
  using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

  Log(LogLevel level, LogFormat format, int fd = 2) : level_(level), format_(format), fd_(fd) {}

  void error(std::string_view message, Fields fields = {}) {
    write(LogLevel::error, message, fields);
  }
  void warning(std::string_view message, Fields fields = {}) {
    write(LogLevel::warning, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) {
    write(LogLevel::info, message, fields);
  }
  void debug(std::string_view message, Fields fields = {}) {
    write(LogLevel::debug, message, fields);
  }

  bool shows(LogLevel level) const { return level <= level_; }

  /// From here on: what is beyond so many lines in a minute is left out, and the next line says how
  /// many were. For commands that strangers can make talk. Before other threads use the log.
  void limit(unsigned lines_a_minute);

 private:
  struct Budget;

  void write(LogLevel level, std::string_view message, Fields fields);
  void put(LogLevel level, std::string_view message, Fields fields) const;

  LogLevel level_;
  LogFormat format_;
  int fd_;
  std::shared_ptr<Budget> budget_;  // null: no limit
};

}  // namespace nbdring
