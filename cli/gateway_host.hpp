#pragma once
// The sessions of a gateway: one at a time for each configuration, made when its peer comes. The
// listener asks here where a websocket belongs.
//
// A peer whose session's key it is comes back to its session. Another one is refused while the
// session's peer is here, or has left a device that is in use; else the session that is left behind
// is ended, and the newcomer's begins when it has.
//
// On the listener's loop; the sessions have threads of their own, and tell their end by an eventfd.

#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "backends/websocket/live_sessions.hpp"
#include "backends/websocket/session_host.hpp"
#include "cli/gateway_session.hpp"
#include "cli/gateway_settings.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

class GatewayHost final : public SessionHost {
 public:
  /// All outlive it.
  GatewayHost(Loop& loop, const GatewaySettings& settings, LiveSessions& live, Log& log);
  /// Waits for what has not ended.
  ~GatewayHost() override;

  std::optional<std::string> configuration_at(const std::string& path) const override;
  std::variant<nlohmann::json, HttpError> describe(const Grant& grant) override;
  std::optional<nlohmann::json> session_state(const std::string& key) override;
  std::variant<std::shared_ptr<Peers>, HttpError> admit(const Grant& grant,
                                                        const PeerInfo& info) override;

  /// Lets go of sessions as they end. Ends when stop() has been called and none is left.
  Task<void> reap();
  /// Ends all sessions, lets nobody in any more.
  void stop() noexcept;

  FramePool& frames() { return loop_.frames(); }

 private:
  /// A configuration, and the session that it has, or had last.
  struct Place {
    const GatewayConfiguration* configuration = nullptr;
    std::shared_ptr<GatewaySession> session;
    std::shared_ptr<Peers> peers;
    std::string key;  // of the live session whose it is
    SessionState last;
    bool is_live = false;
  };

  Place* place_of(const std::string& configuration);
  std::optional<HttpError> objection(const Place& place, const Grant& grant) const;
  void begin(Place& place, const Grant& grant);
  bool reap_ended();

  Loop& loop_;
  const GatewaySettings& settings_;
  LiveSessions& live_;
  Log& log_;
  FileDescriptor ended_;  // eventfd
  std::map<std::string, Place> places_;
  std::vector<std::shared_ptr<GatewaySession>> leaving_;  // replaced, not yet ended
  bool stopping_ = false;
};

}  // namespace nbdring
