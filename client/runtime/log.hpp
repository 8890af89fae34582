#pragma once
// What the program says while it runs: one line per event on standard error, as text or as JSON,
// each written by one write(2) so that threads never mix their lines. Created in main, passed by
// reference. Never used on the data path: a device may hold the very file system that the log is
// written to.

#include <initializer_list>
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

 private:
  void write(LogLevel level, std::string_view message, Fields fields);

  LogLevel level_;
  LogFormat format_;
  int fd_;
};

}  // namespace nbdring
