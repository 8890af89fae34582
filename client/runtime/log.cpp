#include "client/runtime/log.hpp"

#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>

#include "client/runtime/journal.hpp"

namespace nbdring {
namespace {

std::string_view name_of(LogLevel level) {
  constexpr std::array<std::string_view, 4> names{"error", "warning", "info", "debug"};
  return names[static_cast<std::size_t>(level)];
}

// Control characters never reach the terminal or the journal raw: values may come from a peer.
void append_escaped(std::string& line, std::string_view value) {
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned char>(c));
      line += escape.data();
    } else {
      line += c;
    }
  }
}

void append_quoted(std::string& line, std::string_view value) {
  line += '"';
  append_escaped(line, value);
  line += '"';
}

std::string now_text() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> text{};
  const std::size_t length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + length, text.size() - length, ".%03ldZ", now.tv_nsec / 1'000'000);
  return text.data();
}

std::string json_line(LogLevel level, std::string_view message, Log::Fields fields) {
  std::string line = "{\"time\":\"" + now_text() + "\",\"level\":\"" + std::string(name_of(level)) +
                     "\",\"message\":";
  append_quoted(line, message);
  for (const auto& [key, value] : fields) {
    line += ',';
    append_quoted(line, key);
    line += ':';
    append_quoted(line, value);
  }
  return line + '}';
}

// The message, and the fields as KEY=VALUE.
std::string text_of(std::string_view message, Log::Fields fields) {
  std::string line;
  append_escaped(line, message);
  for (const auto& [key, value] : fields) {
    line += ' ';
    line += key;
    line += '=';
    const bool plain = value.find_first_of(" \"\\") == std::string::npos && !value.empty();
    plain ? append_escaped(line, value) : append_quoted(line, value);
  }
  return line;
}

// False: it has to be written.
bool put_into_journal(LogLevel level, std::string_view text, Log::Fields fields) {
  constexpr std::array<int, 4> severities{LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
  JournalEntry entry(severities[static_cast<std::size_t>(level)], text);
  for (const auto& [key, raw] : fields) {
    std::string value;
    append_escaped(value, raw);
    entry.add(key, value);
  }
  return entry.send();
}

}  // namespace

struct Log::Budget {
  using Clock = std::chrono::steady_clock;

  /// How many were left out before this one; none: it is left out as well.
  std::optional<std::uint64_t> spend() {
    const std::lock_guard guard(lock);
    const auto now = Clock::now();
    if (now - minute >= std::chrono::minutes(1)) {
      minute = now;
      lines = 0;
    }
    if (lines == lines_max) {
      ++left_out;
      return std::nullopt;
    }
    ++lines;
    return std::exchange(left_out, 0);
  }

  unsigned lines_max = 0;
  std::mutex lock;  // guards the rest
  Clock::time_point minute = Clock::now();
  unsigned lines = 0;  // in it
  std::uint64_t left_out = 0;
};

void Log::limit(unsigned lines_a_minute) {
  budget_ = std::make_shared<Budget>();
  budget_->lines_max = lines_a_minute;
}

void Log::write(LogLevel level, std::string_view message, Fields fields) {
  if (!shows(level)) return;
  const auto left_out = budget_ ? budget_->spend() : std::optional<std::uint64_t>(0);
  if (!left_out) return;
  if (*left_out > 0) {
    put(LogLevel::warning, "lines were left out, there were too many",
        {{"lines", std::to_string(*left_out)}});
  }
  put(level, message, fields);
}

void Log::put(LogLevel level, std::string_view message, Fields fields) const {
  const bool is_journal = format_ == LogFormat::text && is_journal_stream(fd_);
  std::string line;
  if (format_ == LogFormat::json) {
    line = json_line(level, message, fields);
  } else {
    if (level != LogLevel::info) line = std::string(name_of(level)) + ": ";
    line += text_of(message, fields);
    if (is_journal && put_into_journal(level, line, fields)) return;
    line.insert(0, "nbdring: ");
  }
  line += '\n';
  // A log that cannot be written (a full pipe, a closed terminal) must not stop the engine; nor may
  // a journal that waits for the very device that we serve.
  [[maybe_unused]] const ssize_t written =
      is_journal ? ::send(fd_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                 : ::write(fd_, line.data(), line.size());
}

}  // namespace nbdring
