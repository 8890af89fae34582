#pragma once
// From an endpoint to an export that is ready for requests: connect, greet, TLS, options, GO.
//
// Nothing is received beyond what the handshake waits for, so no byte that was sent in clear can
// end up inside TLS, and the first reply is still in the socket when a connection takes over. One
// deadline holds for all of the handshake, however slowly its bytes drip.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backends/nbd/endpoint.hpp"
#include "client/protocol/handshake_client.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/transport/stream.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

struct DialOptions {
  std::chrono::milliseconds handshake_deadline{15'000};  // from the first byte to GO's last
  bool simple_replies = false;                           // see ClientHandshakeOptions
};

/// A connection at the first byte of its transmission phase.
struct Dialled {
  std::unique_ptr<Stream> socket;  // below the TLS stream, or the stream itself
  std::unique_ptr<TlsStream> tls;  // null: in the clear
  Export about;
  TransmissionOptions transmission;
  std::uint32_t base_allocation_context = 0;
  TlsReport tls_report;  // of NBD's TLS, or of what the endpoint has below it; empty: none

  Stream& stream() { return tls ? *tls : *socket; }
};

/// What a server said without going into transmission.
struct Looked {
  std::vector<ClientHandshake::Listed> exports;  // one for info, all for list
  TransmissionOptions transmission;              // what it would have agreed on
  bool is_encrypted = false;
  TlsReport tls_report;
};

/// Where connections come from: a Dialer, or a test's own server.
class ConnectionSource {
 public:
  virtual ~ConnectionSource() = default;

  /// Any thread, each on its own loop. Throws Failure: unreachable, refused, not_found; the text
  /// names the endpoint.
  virtual Task<Dialled> dial(Loop& loop) const = 0;
  /// False where each connection may reach another server: then there is only one at a time.
  virtual bool reaches_one_server() const = 0;
  /// See Endpoint.
  virtual bool waits_by_itself() const { return false; }
  /// False: no connection has its payloads in a socket as they are.
  virtual bool may_be_in_clear() const { return true; }
};

/// Constant once made.
class Dialer final : public ConnectionSource {
 public:
  /// tls: from the URI's scheme and parameters and the command's options, merged
  /// (tls_settings.hpp). Reads the keys. The log outlives it. Throws Failure (usage, refused).
  Dialer(const BackendForm& form, const TlsSettings& tls, const DialOptions& options, Log& log);
  /// Over an endpoint of the caller's, which has TLS of its own if it needs any. text: of the
  /// backend, for messages.
  Dialer(std::unique_ptr<Endpoint> endpoint, std::string text, std::string export_name,
         const TlsSettings& tls, const DialOptions& options, Log& log);
  ~Dialer() override;

  Task<Dialled> dial(Loop& loop) const override;
  bool reaches_one_server() const override { return endpoint_->reaches_one_server(); }
  bool waits_by_itself() const override { return endpoint_->waits_by_itself(); }
  bool may_be_in_clear() const override { return policy_ != TlsPolicy::require; }
  /// The goal is info or list.
  Task<Looked> look(Loop& loop, ClientHandshakeOptions::Goal goal) const;

  const Endpoint& endpoint() const { return *endpoint_; }

 private:
  ClientHandshakeOptions wish(ClientHandshakeOptions::Goal goal) const;
  Task<void> shake_hands(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const;
  Task<bool> converse(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const;
  Task<void> start_tls(Loop& loop, Dialled& dialled, ClientHandshake& handshake) const;
  std::string opening_failed(const std::string& why) const;
  void warn_if_readable(const ClientHandshake& handshake) const;

  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<TlsCredentials> credentials_;  // null: policy off
  std::string text_;                             // of the backend, for messages
  std::string export_name_;
  TlsPolicy policy_;
  DialOptions options_;
  Log& log_;
  mutable std::atomic<bool> has_warned_ = false;
};

}  // namespace nbdring
