#include "backends/websocket/peer_log.hpp"

#include <utility>

#include "client/protocol/handshake_text.hpp"

namespace nbdring {

void PeerLog::refused(std::string_view what, const std::string& peer, std::string_view why,
                      Clock::time_point now) {
  say(LogLevel::info, what, peer, why, now);
}

void PeerLog::failed(std::string_view what, const std::string& peer, std::string_view why,
                     Clock::time_point now) {
  say(LogLevel::error, what, peer, why, now);
}

void PeerLog::say(LogLevel level, std::string_view what, const std::string& peer,
                  std::string_view why, Clock::time_point now) {
  Kind& kind = kinds_.try_emplace(std::string(what), Kind{now, 0, 0}).first->second;
  if (now - kind.minute >= std::chrono::minutes(1)) {
    kind.minute = now;
    kind.lines = 0;
  }
  if (kind.lines == lines_per_minute) {
    ++kind.left_out;
    return;
  }
  ++kind.lines;
  std::string reason = printable(why);
  const unsigned left_out = std::exchange(kind.left_out, 0);
  if (left_out > 0) reason += " (" + std::to_string(left_out) + " more of the kind before)";
  if (level == LogLevel::error) {
    log_.error(what, {{"peer", peer}, {"reason", reason}});
  } else {
    log_.info(what, {{"peer", peer}, {"reason", reason}});
  }
}

}  // namespace nbdring
