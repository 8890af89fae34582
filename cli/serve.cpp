// nbdring serve: the engine behind listening sockets, until a signal ends it.

#include <algorithm>
#include <optional>
#include <vector>

#include "backends/open.hpp"
#include "cli/commands.hpp"
#include "cli/config_defaults.hpp"
#include "cli/descriptor_limit.hpp"
#include "cli/listen.hpp"
#include "cli/notify.hpp"
#include "cli/signals.hpp"
#include "client/engine/server.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {
namespace {

// Of a remote backend's journal each client gets a part, as it uses it: more clients than this
// take more memory.
constexpr unsigned journal_shares = 8;

/// Every socket of this server: those that listen, and those that are connected to a client
/// already.
struct Sockets {
  std::vector<UnixListener> unix_listeners;
  std::vector<FileDescriptor> listeners;
  std::vector<FileDescriptor> connected;

  void adopt(FileDescriptor socket, const std::string& origin) {
    if (!is_stream_socket(socket.get())) {
      socket.release();  // not ours to close
      throw Failure(FailureKind::usage, origin + " is not an open stream socket; pass one that is");
    }
    (is_listening(socket.get()) ? listeners : connected).push_back(std::move(socket));
  }
};

Sockets open_sockets(const ServeCommand& command) {
  Sockets sockets;
  for (FileDescriptor& socket : take_activated_sockets()) {
    sockets.adopt(std::move(socket), "a socket of LISTEN_FDS");
  }
  for (const int fd : command.descriptors) {
    sockets.adopt(FileDescriptor(fd), "--fd: " + std::to_string(fd));
  }
  for (const std::string& path : command.unix_paths) sockets.unix_listeners.emplace_back(path);
  for (const TcpEndpoint& endpoint : command.tcp) {
    for (FileDescriptor& socket : listen_tcp(endpoint)) {
      sockets.listeners.push_back(std::move(socket));
    }
  }
  if (sockets.unix_listeners.empty() && sockets.listeners.empty() && sockets.connected.empty()) {
    throw Failure(FailureKind::usage,
                  "serve: nowhere to listen; say --unix PATH, --tcp ADDR:PORT or --fd N");
  }
  return sockets;
}

// Port 0: who started us cannot know where we listen, so that is printed, as what a client takes.
void print_chosen_ports(const ServeCommand& command, const Sockets& sockets) {
  const char* scheme = command.tls.policy == TlsPolicy::require ? "nbds://" : "nbd://";
  const bool any = std::any_of(command.tcp.begin(), command.tcp.end(),
                               [](const TcpEndpoint& endpoint) { return endpoint.port == 0; });
  if (!any) return;
  for (const FileDescriptor& socket : sockets.listeners) {
    print(scheme + address_of(socket.get()) + "\n");
  }
}

void warn_of_plain_tcp(const Sockets& sockets, TlsPolicy policy, Log& log) {
  if (policy == TlsPolicy::require) return;
  const char* what = policy == TlsPolicy::off
                         ? "other machines can reach this server, and nothing is encrypted"
                         : "other machines can reach this server without encryption";
  for (const FileDescriptor& socket : sockets.listeners) {
    if (is_local(socket.get())) continue;
    log.warning(what, {{"address", address_of(socket.get())}});
  }
}

class Session {
 public:
  Session(Loop& loop, Server& server, Sockets& sockets, TerminationSignals& signals)
      : loop_(loop), server_(server), sockets_(sockets), signals_(signals) {}

  FramePool& frames() { return loop_.frames(); }

  Task<void> run() {
    Scope watching(frames());
    watching.spawn(stop_on_signal());
    Scope accepting(frames());
    for (const UnixListener& listener : sockets_.unix_listeners) {
      accepting.spawn(server_.accept_on(listener.fd()));
    }
    for (const FileDescriptor& listener : sockets_.listeners) {
      accepting.spawn(server_.accept_on(listener.get()));
    }
    for (FileDescriptor& socket : sockets_.connected) server_.serve_connected(std::move(socket));
    co_await accepting.join();
    co_await server_.last_client_gone();
    loop_.cancel(signals_.fd());
    co_await watching.join();
  }

 private:
  Task<void> stop_on_signal() {
    const int result = co_await loop_.readable(signals_.fd());
    if (result < 0) co_return;
    signals_.take();
    signals_.restore();  // who asks a second time does not want to wait for the clients
    notify_stopping();
    server_.stop();
  }

  Loop& loop_;
  Server& server_;
  Sockets& sockets_;
  TerminationSignals& signals_;
};

}  // namespace

int run_serve(const ServeCommand& command, const CommonOptions& common) {
  Log log = common.log();
  TerminationSignals signals;
  const Config config = config_of(common, log);
  const BackendSpec spec = backend_from(command.backend, config, common, log);
  OpenOptions open;
  open.read_only = command.read_only;
  open.layers = command.layers;
  open.tls = with_defaults(TlsOptions(), spec.form, config.tls);
  open.lanes = journal_shares;
  const auto backend = open_backend(spec, open, log);

  std::optional<TlsCredentials> tls;
  if (command.tls.policy != TlsPolicy::off) {
    tls.emplace(TlsCredentials::Side::server, command.tls);
  }

  need_descriptors(descriptors_for(command.clients_max), log);
  Loop loop;
  Sockets sockets = open_sockets(command);
  warn_of_plain_tcp(sockets, command.tls.policy, log);
  ServerOptions options;
  options.clients_max = command.clients_max;
  options.lane.stall_deadline = command.timeout;
  options.lane.populate = false;  // a client that asks little costs little
  options.export_name = command.export_name;
  options.tls_policy = command.tls.policy;
  options.tls = tls ? &*tls : nullptr;
  Server server(loop, *backend, options, log);
  Session session(loop, server, sockets, signals);
  print_chosen_ports(command, sockets);
  notify_ready("serving " + command.backend);
  loop.run(session.run());
  return 0;
}

}  // namespace nbdring
