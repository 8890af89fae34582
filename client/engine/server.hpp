#pragma once
// The engine behind a listening socket: `nbdring serve`. Each client gets a thread, a loop and a
// lane of its own; the handshake runs there too, so a client that is slow or hostile costs nobody
// else anything.
//
// TLS begins where the client asks for it (STARTTLS): from there on the same handshake and the lane
// run over a TlsStream, within the same deadline. Nothing is read ahead: what a stranger puts
// behind a STARTTLS in clear meets TLS, which refuses it.
//
// Runs on the front end's loop. What a client can cost is bounded: clients at once, time for the
// handshake, time to stall in the middle of a message, bytes of options. A client that breaks the
// protocol gets one line in the log and is dropped.

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/engine/backend.hpp"
#include "client/engine/lane.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"
#include "client/runtime/timer.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

struct ServerOptions {
  LaneOptions lane;
  std::size_t clients_max = 64;
  std::chrono::milliseconds handshake_deadline{10'000};
  std::string export_name;  // what clients may ask for, beside the default export ""
  TlsPolicy tls_policy = TlsPolicy::off;
  const TlsCredentials* tls = nullptr;  // outlive the server; null only where the policy is off
  /// After stop(), how long a backend that waits for a remote may go on waiting.
  std::chrono::milliseconds patience{5'000};
};

class Server {
 public:
  Server(Loop& loop, Backend& backend, const ServerOptions& options, Log& log);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Accepts clients until stop(). Spawn one per listener; the listener stays the caller's and is
  /// non-blocking or not.
  Task<void> accept_on(int listener);

  /// Serves one socket that is connected already (`--fd`).
  void serve_connected(FileDescriptor socket) { start_client(std::move(socket)); }

  /// Ends when there is no client: awaited once, by the server's owner, after what could bring a
  /// new one has ended.
  Task<void> last_client_gone();

  /// Stops accepting and shuts every client down; what still waits for a remote then is abandoned
  /// after `patience`. The loop's thread.
  void stop() noexcept;

  FramePool& frames() { return loop_.frames(); }

 private:
  class Client;

  /// Ends the waits of clients that stop() alone does not end.
  class Patience final : public Timer {
   public:
    Patience(Loop& loop, Clock::duration after, Backend& backend)
        : Timer(loop, Clock::now() + after), backend_(backend) {}

   private:
    void expired() override { backend_.abandon(); }
    Backend& backend_;
  };

  void start_client(FileDescriptor socket);
  void client_ended(Client& client) noexcept;

  Loop& loop_;
  Backend& backend_;
  Export about_;  // the backend's, under the name of the options
  ServerOptions options_;
  Log& log_;
  std::list<std::unique_ptr<Client>> clients_;
  std::vector<int> listeners_;
  std::uint64_t next_client_ = 1;
  bool stopping_ = false;
  Event all_gone_;                    // raised while there is no client
  std::optional<Patience> patience_;  // from stop() to the last client's end
};

}  // namespace nbdring
