#include "backends/nbd/remote_log.hpp"

#include <pthread.h>

#include <utility>

namespace nbdring {
namespace {

constexpr std::size_t lines_max = 64;

}  // namespace

RemoteLog::RemoteLog(Log& log) : log_(log), thread_([this] { write(); }) {
  ::pthread_setname_np(thread_.native_handle(), "nbdring-log");
}

RemoteLog::~RemoteLog() {
  {
    const std::lock_guard guard(lock_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void RemoteLog::say(LogLevel level, std::string message, std::string reason) {
  {
    const std::lock_guard guard(lock_);
    if (lines_.size() >= lines_max) return;
    lines_.push_back({level, std::move(message), std::move(reason)});
  }
  changed_.notify_one();
}

void RemoteLog::write() {
  std::unique_lock guard(lock_);
  for (;;) {
    changed_.wait(guard, [this] { return ending_ || !lines_.empty(); });
    if (lines_.empty()) return;
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    guard.unlock();
    write(line);
    guard.lock();
  }
}

void RemoteLog::write(const Line& line) {
  const auto say = [&](Log::Fields fields) {
    if (line.level == LogLevel::error) return log_.error(line.message, fields);
    if (line.level == LogLevel::warning) return log_.warning(line.message, fields);
    if (line.level == LogLevel::info) return log_.info(line.message, fields);
    log_.debug(line.message, fields);
  };
  if (line.reason.empty()) return say({});
  say({{"reason", line.reason}});
}

}  // namespace nbdring
