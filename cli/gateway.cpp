// nbdring gateway: the listener in front, the sessions behind it, and who may have them.

#include <algorithm>
#include <optional>
#include <vector>

#include "backends/websocket/authenticator_chain.hpp"
#include "backends/websocket/authenticator_kinds.hpp"
#include "backends/websocket/listener.hpp"
#include "backends/websocket/token_store.hpp"
#include "cli/commands.hpp"
#include "cli/config_jsnbd.hpp"
#include "cli/gateway_host.hpp"
#include "cli/listen.hpp"
#include "cli/notify.hpp"
#include "cli/signals.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

constexpr unsigned log_lines_a_minute = 600;  // of all sessions, whatever their peers do
constexpr std::chrono::milliseconds farewell_time{3'000};  // for peers, when the gateway ends
constexpr std::chrono::milliseconds farewell_look{20};

struct Sockets {
  std::vector<UnixListener> unix_listeners;
  std::vector<FileDescriptor> listeners;

  std::vector<int> all() const {
    std::vector<int> fds;
    for (const UnixListener& listener : unix_listeners) fds.push_back(listener.fd());
    for (const FileDescriptor& listener : listeners) fds.push_back(listener.get());
    return fds;
  }
};

// The file's settings, with the command line on top.
GatewaySettings settings_of(const GatewayCommand& command, const CommonOptions& common, Log& log) {
  GatewaySettings settings = config_of(common, log).gateway;
  if (command.json_config) {
    std::vector<std::string> warnings;
    settings.configurations = read_jsnbd_config(*command.json_config, warnings);
    warn_of(warnings, common, log);
  }
  if (settings.configurations.empty()) {
    GatewayConfiguration only;
    only.name = "0";
    settings.configurations.push_back(only);
    settle_configurations(settings.configurations, "gateway");
  }
  if (!command.listen.empty()) settings.listen = command.listen;
  if (command.tokens) settings.tokens = command.tokens;
  if (command.state_dir) settings.state_dir = *command.state_dir;
  settings.insecure |= command.insecure;
  return settings;
}

TlsSettings tls_of(const GatewayCommand& command, const GatewaySettings& settings) {
  TlsSettings tls = command.tls;
  if (tls.psk_file.empty() && tls.certificates.empty()) {
    tls.psk_file = settings.tls_psk_file;
    tls.certificates = settings.tls_certificates;
    tls.verify_peer = settings.tls_verify_peer;
  }
  if (!tls.psk_file.empty() || !tls.certificates.empty()) tls.policy = TlsPolicy::require;
  check_serve_tls(tls);
  return tls;
}

std::vector<Method> methods_of(const GatewaySettings& settings, bool has_tls, Log& log) {
  const auto* default_one = find_configuration(settings.configurations, "");
  const std::string name = default_one != nullptr ? default_one->name : "";
  if (settings.insecure) {
    return {{"insecure", [name] { return make_insecure_authenticator(name); }}};
  }
  std::vector<Method> methods;
  TlsUsers users{{}, name};
  for (const GatewayConfiguration& one : settings.configurations) {
    if (!one.users.empty()) users.users[one.name] = one.users;
  }
  if (has_tls && !users.users.empty()) {
    methods.push_back({"tls", [users] { return make_tls_authenticator(users); }});
  }
  const std::string store = settings.tokens.value_or(default_token_store);
  methods.push_back(
      {"tokens", [store, name, &log] { return make_token_authenticator(store, name, log); }});
  return methods;
}

Sockets open_sockets(const GatewayCommand& command, const GatewaySettings& settings) {
  Sockets sockets;
  for (FileDescriptor& socket : take_activated_sockets()) {
    if (!is_stream_socket(socket.get()) || !is_listening(socket.get())) {
      throw Failure(FailureKind::usage,
                    "a socket of LISTEN_FDS is none that listens; pass one that does");
    }
    sockets.listeners.push_back(std::move(socket));
  }
  for (const std::string& path : command.unix_paths) sockets.unix_listeners.emplace_back(path);
  for (const TcpEndpoint& endpoint : settings.listen) {
    for (FileDescriptor& socket : listen_tcp(endpoint)) {
      sockets.listeners.push_back(std::move(socket));
    }
  }
  if (sockets.all().empty()) {
    throw Failure(FailureKind::usage,
                  "gateway: nowhere to listen; say --listen ADDR:PORT or --unix PATH");
  }
  return sockets;
}

// Port 0: who started us cannot know where we listen, so that is printed, as a browser takes it.
void print_chosen_ports(const GatewaySettings& settings, const Sockets& sockets, bool has_tls) {
  const bool any = std::any_of(settings.listen.begin(), settings.listen.end(),
                               [](const TcpEndpoint& endpoint) { return endpoint.port == 0; });
  if (!any) return;
  for (const FileDescriptor& socket : sockets.listeners) {
    print((has_tls ? "https://" : "http://") + address_of(socket.get()) + "/\n");
  }
}

void warn_of_strangers(const GatewaySettings& settings, const Sockets& sockets, bool has_tls,
                       Log& log) {
  if (settings.insecure) {
    log.warning("insecure: whoever can reach this gateway can be this machine's disk");
  }
  for (const FileDescriptor& socket : sockets.listeners) {
    if (has_tls || is_local(socket.get())) continue;
    log.warning("other machines can reach this gateway, and nothing is encrypted",
                {{"address", address_of(socket.get())}});
  }
}

/// Everything on the main thread's loop, until a signal.
class Gateway {
 public:
  Gateway(Loop& loop, GatewayListener& listener, GatewayHost& host, const Sockets& sockets,
          TerminationSignals& signals)
      : loop_(loop), listener_(listener), host_(host), sockets_(sockets), signals_(signals) {}

  Task<void> run() {
    Scope accepting(frames());
    for (const int fd : sockets_.all()) accepting.spawn(listener_.accept_on(fd));
    Scope sessions(frames());
    sessions.spawn(host_.reap());
    while (signals_.take() == 0) {
      co_await loop_.readable(signals_.fd());
    }
    signals_.restore();  // who asks a second time does not want to wait for the sessions
    notify_stopping();
    host_.stop();
    co_await sessions.join();
    co_await farewells_heard();
    listener_.stop();
    co_await accepting.join();
    co_await listener_.last_connection_gone();
  }

  FramePool& frames() { return loop_.frames(); }

 private:
  // The listener's stop cuts off: peers are on their way, with a close frame each.
  Task<void> farewells_heard() {
    const auto deadline = Clock::now() + farewell_time;
    while (listener_.connections() > 0 && Clock::now() < deadline) {
      co_await loop_.sleep(farewell_look);
    }
  }

  Loop& loop_;
  GatewayListener& listener_;
  GatewayHost& host_;
  const Sockets& sockets_;
  TerminationSignals& signals_;
};

std::chrono::seconds longest_grace(const GatewaySettings& settings) {
  std::chrono::seconds longest{0};
  for (const auto& one : settings.configurations) longest = std::max(longest, one.grace);
  return longest;
}

}  // namespace

int run_gateway(const GatewayCommand& command, const CommonOptions& common) {
  Log log = common.log();
  log.limit(log_lines_a_minute);
  TerminationSignals signals;
  const GatewaySettings settings = settings_of(command, common, log);
  const TlsSettings tls = tls_of(command, settings);
  std::optional<TlsCredentials> credentials;
  if (tls.policy != TlsPolicy::off) credentials.emplace(TlsCredentials::Side::server, tls);

  LiveSessions::Options live_options;
  live_options.grace = longest_grace(settings);
  LiveSessions live(live_options, log);
  AuthenticatorChain authenticator(methods_of(settings, credentials.has_value(), log), live, log);
  const Sockets sockets = open_sockets(command, settings);
  warn_of_strangers(settings, sockets, credentials.has_value(), log);

  Loop loop;
  GatewayHost host(loop, settings, live, log);
  ListenerOptions options;
  options.origins = settings.origins;
  options.tls = credentials ? &*credentials : nullptr;
  GatewayListener listener(loop, options, authenticator, live, host, log);
  print_chosen_ports(settings, sockets, credentials.has_value());
  notify_ready("listening for peers");
  Gateway gateway(loop, listener, host, sockets, signals);
  loop.run(gateway.run());
  return 0;
}

}  // namespace nbdring
