#include "backends/websocket/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <utility>

#include "backends/websocket/listener_connection.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {

class GatewayListener::State {
 public:
  State(Loop& loop, const ListenerOptions& options, Authenticator& authenticator,
        LiveSessions& sessions, SessionHost& host, Log& log)
      : context{loop,
                options,
                authenticator,
                sessions,
                host,
                PeerLog(log),
                std::make_shared<Offload>(Offload::Options{}),
                std::make_shared<AddressCounts>(options.connections_max, options.connections_each)},
        tasks(loop.frames()) {}

  FramePool& frames() { return context.loop.frames(); }

  Task<void> accept_on(int listener) {
    listeners.push_back(listener);
    while (!is_stopping) {
      const int socket = co_await context.loop.accept(listener);
      if (socket >= 0) {
        serve(FileDescriptor(socket));
      } else if (socket == -EMFILE || socket == -ENFILE || socket == -ENOMEM ||
                 socket == -ENOBUFS) {
        context.log.failed("cannot accept connections for now", "", error_text(-socket));
        co_await context.loop.sleep(std::chrono::seconds(1));
      } else if (socket == -EBADF || socket == -EINVAL || socket == -ENOTSOCK) {
        if (!is_stopping) context.log.failed("a listening socket failed", "", error_text(-socket));
        break;
      }
      // Else the connection was gone before we had it (accept(2)), or stop() was called.
    }
  }

  void serve(FileDescriptor socket) {
    if (is_stopping) return;
    PeerAddress address = peer_address_of(socket.get());
    auto place = context.counts->enter(address.group);
    if (!place || heads() >= context.options.heads_max) {
      context.log.refused("a connection was refused", address.text, "there are too many");
      return;
    }
    // NBD: a request must not wait for the acknowledgement of the one before. Not of a Unix socket.
    constexpr int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections.push_back(std::make_unique<ListenerConnection>(
        context, std::move(socket), std::move(address), std::move(place)));
    tasks.spawn(run(*connections.back()));
  }

  Task<void> run(ListenerConnection& connection) {
    // Off the stack of accept_on(), and this whole life in one place.
    co_await context.loop.sleep(Clock::duration::zero());
    co_await connection.run();
    connections.remove_if([&connection](const auto& owned) { return owned.get() == &connection; });
  }

  std::size_t heads() const {
    return static_cast<std::size_t>(
        std::count_if(connections.begin(), connections.end(),
                      [](const auto& connection) { return !connection->is_websocket(); }));
  }

  void stop() noexcept {
    is_stopping = true;
    for (const int listener : listeners) context.loop.cancel(listener);
    for (const auto& connection : connections) connection->cut();
  }

  ListenerContext context;
  std::list<std::unique_ptr<ListenerConnection>> connections;
  std::vector<int> listeners;
  bool is_stopping = false;
  Scope tasks;
};

GatewayListener::GatewayListener(Loop& loop, const ListenerOptions& options,
                                 Authenticator& authenticator, LiveSessions& sessions,
                                 SessionHost& host, Log& log)
    : state_(std::make_unique<State>(loop, options, authenticator, sessions, host, log)) {}

GatewayListener::~GatewayListener() = default;

Task<void> GatewayListener::accept_on(int listener) { return state_->accept_on(listener); }

void GatewayListener::serve_connected(FileDescriptor socket) { state_->serve(std::move(socket)); }

void GatewayListener::stop() noexcept { state_->stop(); }

Task<void> GatewayListener::last_connection_gone() { co_await state_->tasks.join(); }

std::size_t GatewayListener::connections() const { return state_->context.counts->all(); }

FramePool& GatewayListener::frames() { return state_->frames(); }

}  // namespace nbdring
