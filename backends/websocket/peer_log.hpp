#pragma once
// The listener's lines: whoever knocks a thousand times a minute must not write a thousand lines.
// Of each kind so many a minute are written; the next one after that says how many were not.
// What comes from a peer is made printable. One loop's thread.

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "client/runtime/log.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class PeerLog {
 public:
  static constexpr unsigned lines_per_minute = 20;  // of each kind

  explicit PeerLog(Log& log) : log_(log) {}

  /// Everyday life: somebody asked for what he may not have, or spoke nonsense.
  void refused(std::string_view what, const std::string& peer, std::string_view why,
               Clock::time_point now = Clock::now());
  /// Ours: something that should work does not.
  void failed(std::string_view what, const std::string& peer, std::string_view why,
              Clock::time_point now = Clock::now());

 private:
  struct Kind {
    Clock::time_point minute;  // when it began
    unsigned lines = 0;        // in it
    unsigned left_out = 0;
  };

  void say(LogLevel level, std::string_view what, const std::string& peer, std::string_view why,
           Clock::time_point now);

  Log& log_;
  std::map<std::string, Kind, std::less<>> kinds_;  // by `what`: words of the program's own
};

}  // namespace nbdring
