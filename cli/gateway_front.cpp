#include "cli/gateway_front.hpp"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "cli/attached_device.hpp"
#include "cli/in_use.hpp"
#include "cli/listen.hpp"
#include "cli/state.hpp"
#include "cli/waits.hpp"
#include "client/engine/server.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "kernel/users.hpp"

namespace nbdring {
namespace {

// The driver gives a request up only when the session should long have done so.
constexpr std::chrono::seconds after_grace{60};
constexpr std::chrono::seconds recovery_window{
    30};  // of the driver, for an engine that is replaced
constexpr unsigned lanes_by_default_max = 4;

class DeviceFront final : public SessionFront, private DeviceOwner {
 public:
  DeviceFront(Loop& loop, Backend& backend, const DeviceSettings& settings, FrontOwner& owner,
              Log& log)
      : SessionFront(true, backend.about().size),
        owner_(owner),
        log_(log),
        device_(loop, backend, settings, folder_, *this, log) {
    path_ = device_.record().device();
  }

  Task<void> run() override { return device_.run(); }

  void end() override {
    DeviceSession& session = device_.session();
    if (session.is_over()) return;
    const ControlReply reply = session.disconnect(false);
    if (!reply.error.empty()) log_.warning(reply.error);
    session.finish();
  }

  std::vector<std::string> users() const override { return users_of(device_.record().index); }

 private:
  std::optional<ControlReply> ending() override {
    const auto within = std::chrono::ceil<std::chrono::seconds>(owner_.detach_asked());
    return ControlReply{0, "", ends_within_body(within)};
  }
  void complete(DeviceStatus& status) const override { owner_.complete(status); }
  std::string fixed_size_reason() const override {
    return "its disk is that of the gateway's peer, which says its size once";
  }

  FrontOwner& owner_;
  Log& log_;
  const RunFolder folder_;
  AttachedDevice device_;
};

class SocketFront final : public SessionFront {
 public:
  SocketFront(Loop& loop, Backend& backend, const std::string& path, Log& log)
      : SessionFront(false, backend.about().size),
        loop_(loop),
        listener_(path),
        server_(loop, backend, options(), log) {
    path_ = path;
  }

  Task<void> run() override { return serve(); }
  void end() override { server_.stop(); }
  std::vector<std::string> users() const override { return {}; }

  FramePool& frames() { return loop_.frames(); }

 private:
  static ServerOptions options() {
    ServerOptions options;
    options.lane.stall_deadline = std::chrono::seconds(30);
    options.lane.populate = false;
    return options;
  }

  Task<void> serve() {
    co_await server_.accept_on(listener_.fd());
    co_await server_.last_client_gone();
  }

  Loop& loop_;
  UnixListener listener_;
  Server server_;
};

// A gateway that died leaves its device with the driver.
void clean_up_before(const GatewayConfiguration& configuration, const RunFolder& folder, Log& log) {
  if (!configuration.index) return;
  for (const auto& [record, engine_lives] : folder.devices()) {
    if (record.index == *configuration.index && !engine_lives) clean_up_after(record, folder, log);
  }
}

DeviceSettings device_settings(const GatewayConfiguration& configuration, const std::string& kind,
                               const Export& about) {
  DeviceSettings settings;
  settings.driver.index = configuration.index;
  settings.driver.connections = lanes_of(configuration);
  settings.driver.block_size = block_size_for(about);
  settings.driver.timeout = configuration.timeout + configuration.grace + after_grace;
  settings.driver.recovery_window = recovery_window;
  settings.driver.identifier = kind + ":" + configuration.name + "#" + std::to_string(::getpid());
  settings.backend = "the peer of configuration " + configuration.name;
  settings.configuration = configuration.name;
  return settings;
}

}  // namespace

unsigned lanes_of(const GatewayConfiguration& configuration) {
  return configuration.connections.value_or(
      std::clamp(std::thread::hardware_concurrency(), 1U, lanes_by_default_max));
}

std::unique_ptr<SessionFront> make_session_front(Loop& loop, Backend& backend,
                                                 const GatewayConfiguration& configuration,
                                                 const std::string& kind, FrontOwner& owner,
                                                 Log& log) {
  if (!configuration.socket.empty()) {
    return std::make_unique<SocketFront>(loop, backend, configuration.socket, log);
  }
  if (::geteuid() != 0) {
    throw Failure(FailureKind::cannot_attach,
                  "a device needs root; run it with sudo, or give the configuration a socket");
  }
  const RunFolder folder;
  folder.create();
  clean_up_before(configuration, folder, log);
  return std::make_unique<DeviceFront>(
      loop, backend, device_settings(configuration, kind, backend.about()), owner, log);
}

}  // namespace nbdring
