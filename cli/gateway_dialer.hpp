#pragma once
// How a session's remote backend comes by its connections: from the session's source, which it
// tells what the peer can do, and what to say to one that cannot be used.

#include <atomic>
#include <string>

#include "backends/nbd/dial.hpp"
#include "cli/gateway_source.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

class SourceDialer final : public ConnectionSource {
 public:
  /// text: the peer, for messages. Source and log outlive it.
  SourceDialer(SessionSource& source, const std::string& text, Log& log);

  Task<Dialled> dial(Loop& loop) const override;
  bool reaches_one_server() const override { return dialer_.reaches_one_server(); }
  bool waits_by_itself() const override { return dialer_.waits_by_itself(); }

 private:
  SessionSource& source_;
  Dialer dialer_;
  mutable std::atomic<bool> has_opened_{false};
};

}  // namespace nbdring
