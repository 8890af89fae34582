#pragma once
// Where a remote export is reached: TCP, Unix, vsock, through ssh, through a command, or a server
// that we start ourselves (interface.md, "Backends"). Each ends in a connected stream.

#include <memory>
#include <optional>
#include <string>

#include "client/protocol/backend_spec.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"
#include "client/transport/stream.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

/// One per backend; connect() may be called by several threads at once, each with its own loop.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  /// A connected stream on that loop; TCP_NODELAY and keepalive are set where there is TCP. Its
  /// first byte is NBD's. Throws Failure (unreachable; refused and not_found too where the way
  /// itself can say so) that names the address and the reason.
  virtual Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) = 0;

  /// How long a connect() should be given.
  virtual std::chrono::milliseconds connect_time() const { return std::chrono::seconds(10); }
  /// connect() itself waits until the server is there (it comes to us): no need to wait longer and
  /// longer between attempts.
  virtual bool waits_by_itself() const { return false; }

  /// False where each connection may reach another server (ext): then there is only one at a time.
  virtual bool reaches_one_server() const = 0;
  /// False where others can read and change what is sent: worth a warning without TLS.
  virtual bool is_private() const = 0;
  /// TLS that the way itself has, below NBD's, as the last connection came by it. Nothing: none.
  virtual std::optional<TlsReport> tls() const { return std::nullopt; }
  /// Why a stream of connect() has ended, where the way knows more than that it has: one clause
  /// that begins with who did it. Empty: nothing to say.
  virtual std::string why_ended(const Stream&) const { return ""; }
  /// For messages: "host:10809", "the socket /run/x", "the command socat …".
  virtual const std::string& text() const = 0;
};

/// For a UriSpec (but ws, wss) or an ExecSpec. Nothing is connected yet; exec: starts its server
/// with the first connect(). Throws Failure (usage).
std::unique_ptr<Endpoint> make_endpoint(const BackendForm& form, Log& log);

}  // namespace nbdring
