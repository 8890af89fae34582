#include "client/engine/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "client/engine/copy_flaw.hpp"
#include "client/engine/lane_thread.hpp"
#include "client/engine/stats.hpp"
#include "client/protocol/handshake_server.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/send_all.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {
namespace {

constexpr std::size_t receive_bytes = 4096;  // at once, during the handshake

}  // namespace

/// One client: a thread with a loop, on which the handshake and then a lane run. Lives until its
/// end has been delivered to the server's loop.
class Server::Client final : public Message {
 public:
  Client(Server& server, std::uint64_t number, FileDescriptor socket)
      : server_(server), number_(number) {
    const LaneThreadOptions options{"nbdring-client", false};
    thread_ = std::make_unique<LaneThread>(
        options, std::move(socket),
        [this](Loop& loop, Stream& stream) { return serve(loop, stream); },
        [this](const std::exception_ptr& failure) { ended(failure); });
  }

  void shut_down() noexcept { thread_->shut_down(); }
  void deliver() noexcept override { server_.client_ended(*this); }

 private:
  /// The client's socket, and from STARTTLS on TLS over it.
  struct Connection {
    explicit Connection(Stream& its_socket) : socket(its_socket) {}
    Stream& stream() { return tls ? static_cast<Stream&>(*tls) : socket; }

    Stream& socket;
    std::unique_ptr<TlsStream> tls;
    bool said_anything = false;
  };

  Task<void> serve(Loop& loop, Stream& stream);
  Task<bool> shake_hands(Loop& loop, ServerHandshake& handshake, Connection& connection);
  Task<bool> start_tls(Loop& loop, ServerHandshake& handshake, Connection& connection);
  void say_silence(const StreamDeadline& deadline, const Connection& connection);
  void ended(const std::exception_ptr& failure);
  void say(std::string_view what, const std::string& reason);

  Server& server_;
  std::uint64_t number_;
  std::unique_ptr<LaneThread> thread_;
};

Task<void> Server::Client::serve(Loop& loop, Stream& socket) {
  const Export& about = server_.about_;
  Connection connection(socket);
  ServerHandshake handshake(about, {}, server_.options_.tls_policy);
  const bool agreed = co_await shake_hands(loop, handshake, connection);
  if (!agreed) co_return;
  const auto backend = server_.backend_.open_lane(loop);
  const auto stats = std::make_unique<LaneStats>();
  Lane lane(loop, connection.stream(), *backend, about, handshake.transmission(),
            server_.options_.lane, *stats);
  const LaneEnd end = co_await lane.run();
  if (!end.is_orderly) say("client dropped", end.reason);
  if (connection.tls) connection.tls->shut_down();
  const Status closed = co_await backend->close();
  if (!closed.is_ok()) {
    server_.log_.error(
        "what a client wrote may not be on stable storage",
        {{"client", std::to_string(number_)}, {"reason", error_text(closed.error())}});
  }
}

// Reads no byte beyond the handshake: what follows GO belongs to the lane, and what follows
// STARTTLS to TLS, so both are taken only after they were asked for.
Task<bool> Server::Client::shake_hands(Loop& loop, ServerHandshake& handshake,
                                       Connection& connection) {
  StreamDeadline deadline(loop, server_.options_.handshake_deadline, connection.socket);
  const auto greeting = handshake.greeting();
  bool alive = co_await send_all(loop, connection.socket, greeting);
  std::array<std::byte, receive_bytes> bytes;
  while (alive) {
    const std::size_t wanted = std::min(handshake.wanted(), bytes.size());
    std::array<iovec, 1> buffer{iovec{bytes.data(), wanted}};
    const ssize_t received = connection.stream().receive(buffer);
    if (received == -EAGAIN) {
      co_await connection.stream().readable();
      continue;
    }
    if (received <= 0) break;
    connection.said_anything = true;
    const auto step = handshake.feed(std::span(bytes).first(static_cast<std::size_t>(received)));
    alive = co_await send_all(loop, connection.stream(), step.output);
    if (step.state == ServerHandshake::State::transmission) co_return alive;
    if (step.state == ServerHandshake::State::ended) co_return false;
    if (step.state == ServerHandshake::State::failed) {
      say("client dropped during the handshake", step.reason);
      co_return false;
    }
    if (step.state == ServerHandshake::State::start_tls && alive) {
      alive = co_await start_tls(loop, handshake, connection);
      if (!alive && !deadline.has_expired()) co_return false;
    }
  }
  say_silence(deadline, connection);
  co_return false;
}

// False: the client is not let in, and the log says why, unless its time was over.
Task<bool> Server::Client::start_tls(Loop& loop, ServerHandshake& handshake,
                                     Connection& connection) {
  connection.tls = std::make_unique<TlsStream>(loop, connection.socket, *server_.options_.tls);
  std::string reason;
  try {
    co_await connection.tls->shake_hands();
  } catch (const Failure& failure) {
    reason = failure.what();
  }
  if (!reason.empty()) {
    say("client dropped during the TLS handshake", reason);
    co_return false;
  }
  handshake.tls_started();
  const TlsReport report = connection.tls->report();
  server_.log_.debug("client encrypted", {{"client", std::to_string(number_)},
                                          {"version", report.version},
                                          {"cipher", report.cipher},
                                          {"peer", report.peer}});
  co_return true;
}

void Server::Client::say_silence(const StreamDeadline& deadline, const Connection& connection) {
  if (deadline.has_expired()) {
    say("client dropped during the handshake",
        "it did not finish within " + duration_text(server_.options_.handshake_deadline));
  } else if (connection.said_anything) {
    const std::string why = connection.tls ? connection.tls->why_ended() : "";
    say("client dropped during the handshake", why.empty() ? "it disconnected" : why);
  }
  // Else it only looked whether somebody listens, as monitors do: not worth a line.
}

void Server::Client::say(std::string_view what, const std::string& reason) {
  server_.log_.warning(what, {{"client", std::to_string(number_)}, {"reason", reason}});
}

void Server::Client::ended(const std::exception_ptr& failure) {
  if (failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      say("client dropped", error.what());
    }
  }
  server_.loop_.post(*this);
}

Server::Server(Loop& loop, Backend& backend, const ServerOptions& options, Log& log)
    : loop_(loop), backend_(backend), about_(backend.about()), options_(options), log_(log) {
  about_.name = options_.export_name;
  if (copies_badly()) options_.lane.lends = false;
  all_gone_.raise();
}

Server::~Server() { ENSURE(clients_.empty()); }

Task<void> Server::accept_on(int listener) {
  listeners_.push_back(listener);
  while (!stopping_) {
    const int socket = co_await loop_.accept(listener);
    if (socket >= 0) {
      start_client(FileDescriptor(socket));
    } else if (socket == -EMFILE || socket == -ENFILE || socket == -ENOMEM || socket == -ENOBUFS) {
      log_.warning("cannot accept a client for now", {{"reason", error_text(-socket)}});
      co_await loop_.sleep(std::chrono::seconds(1));
    } else if (socket != -ECANCELED && socket != -ECONNABORTED && socket != -EINTR) {
      log_.error("the listening socket failed", {{"reason", error_text(-socket)}});
      break;
    }
  }
}

Task<void> Server::last_client_gone() { co_await all_gone_.wait(); }

void Server::start_client(FileDescriptor socket) {
  if (stopping_) return;  // accepted in the very turn in which stop() was called
  if (clients_.size() >= options_.clients_max) {
    log_.warning("client refused: too many at once",
                 {{"limit", std::to_string(options_.clients_max)}});
    return;
  }
  // TCP: a reply must not wait for the acknowledgement of the one before. Fails on a Unix socket,
  // which has no such delay.
  constexpr int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  widen_unix(socket.get());
  all_gone_.lower();
  const std::uint64_t number = next_client_++;
  log_.debug("client connected", {{"client", std::to_string(number)}});
  try {
    clients_.push_back(std::make_unique<Client>(*this, number, std::move(socket)));
  } catch (const std::exception& error) {
    log_.error("cannot start a client's thread", {{"reason", error.what()}});
    if (clients_.empty()) all_gone_.raise();
  }
}

void Server::client_ended(Client& client) noexcept {
  clients_.remove_if([&client](const auto& owned) { return owned.get() == &client; });
  if (!clients_.empty()) return;
  patience_.reset();
  all_gone_.raise();
}

void Server::stop() noexcept {
  stopping_ = true;
  for (const int listener : listeners_) loop_.cancel(listener);
  for (const auto& client : clients_) client->shut_down();
  if (!clients_.empty()) patience_.emplace(loop_, options_.patience, backend_);
}

}  // namespace nbdring
