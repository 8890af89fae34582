#pragma once
// One peer's disk as a device, from the peer's arrival to its end: the remote backend over the
// peer's connections, the configuration's limits and layers, the front (a device, or a socket), the
// state hooks. On a thread and loop of its own, so that whatever it waits for harms no other
// session.
//
//   opening -> starting (start hooks) -> serving -> ending (stop hooks, still served) -> ended
//
// What ends it: somebody on this machine (detach, another tool), the peer's eject, the peer's
// absence beyond the grace, a failure (also of a peer that is here and cannot be used), the
// gateway's end. The peer is told which (Farewell). A peer that has ejected cannot be refused, but
// its device may be in use: then I/O waits for it as long as the grace lasts, and the session ends
// as soon as nobody uses the device any more.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cli/gateway_front.hpp"
#include "cli/gateway_settings.hpp"
#include "cli/gateway_source.hpp"
#include "cli/hooks.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

struct SessionSettings {
  GatewayConfiguration configuration;
  std::string kind = "gateway";  // or "proxy"
  bool read_only = false;        // whoever it is may not write
  HookPlaces hooks;
  std::chrono::seconds hook_timeout{30};
};

/// What there is to know of a session, at one moment.
struct SessionState {
  std::string phase = "waiting";  // "starting", "serving", "ending", "ended"
  std::string device;             // empty: none (yet)
  std::string socket;
  std::uint64_t size = 0;
  std::string error;  // why it failed; empty: it has not
  bool has_ended = false;
  FailureKind kind = FailureKind::failed;  // of the error
};

class GatewaySession final : private Peers::Watch, private FrontOwner {
 public:
  enum class End { detached, ejected, left, failed, gateway_ends, replaced };

  /// Starts at once. former: is waited for first; may be null. ended: last of all, on the session's
  /// thread. The log outlives it.
  GatewaySession(SessionSettings settings, std::unique_ptr<SessionSource> source,
                 std::shared_ptr<GatewaySession> former, std::function<void()> ended, Log& log);
  ~GatewaySession() override;  // waits for the end; call end() before

  // Any thread:

  /// The first reason counts.
  void end(End why) noexcept;
  SessionState state() const;
  PeersStanding standing() const { return source_->standing(); }
  const SessionSettings& settings() const { return settings_; }
  /// The peer is away (or never came) and nobody uses what it left: another may take its place.
  bool is_abandoned() const;

  FramePool& frames() { return loop_->frames(); }

 private:
  class Tick final : public Timer {
   public:
    Tick(Loop& loop, Clock::duration after, GatewaySession& session)
        : Timer(loop, Clock::now() + after), session_(session) {}

   private:
    void expired() override { session_.wake(); }
    GatewaySession& session_;
  };

  void run() noexcept;
  void run_loop();
  void open();
  void check_size() const;
  Task<void> serve();
  Task<void> serve_front();
  Task<void> start();
  Task<void> watch();
  void look_at_peer();
  void look_at_health();
  bool comes_and_goes();
  void look_at_users(const PeersStanding& standing);
  void fail(const std::string& reason) noexcept;
  void note_kind(FailureKind kind) noexcept;
  HookSettings hook_settings() const;
  void set_phase(const std::string& phase);
  void say(const std::string& note);
  void wake() noexcept;
  Farewell farewell() const;
  std::string words() const;

  void peers_changed() noexcept override { wake(); }
  std::chrono::milliseconds detach_asked() override;
  void complete(DeviceStatus& status) const override;

  const SessionSettings settings_;
  const std::unique_ptr<SessionSource> source_;
  std::shared_ptr<GatewaySession> former_;
  const std::function<void()> ended_;
  Log& log_;
  FileDescriptor wake_;  // eventfd

  std::atomic<bool> is_asked_{false};  // to end
  std::atomic<bool> is_in_use_{false};
  mutable std::mutex lock_;  // guards the three below
  std::optional<End> why_;
  SessionState state_;
  std::string note_;  // why the end waits

  // The session's thread alone.
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<SessionFront> front_;
  std::unique_ptr<Hooks> hooks_;
  std::unique_ptr<Tick> tick_;
  Event ending_;
  Event started_;         // the start hooks have ended
  bool is_over_ = false;  // the front has ended
  bool was_away_ = false;
  Clock::time_point minute_;  // when it began, and how often the peer had come back by then
  std::uint64_t reconnects_before_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nbdring
