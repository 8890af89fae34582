#pragma once
// What a remote backend has to say, written by a thread of its own: the log may stand on the very
// device that waits for its server, and whoever brings the server back must not wait for that.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "client/runtime/log.hpp"

namespace nbdring {

class RemoteLog {
 public:
  explicit RemoteLog(Log& log);
  ~RemoteLog();  // writes what is left, and joins
  RemoteLog(const RemoteLog&) = delete;
  RemoteLog& operator=(const RemoteLog&) = delete;

  /// Any thread; never waits for the log. Beyond 64 lines that wait, the newest are dropped.
  void say(LogLevel level, std::string message, std::string reason = {});

 private:
  struct Line {
    LogLevel level;
    std::string message;
    std::string reason;
  };

  void write();
  void write(const Line& line);

  Log& log_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Line> lines_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nbdring
