#pragma once
// From an endpoint to an export that is ready for requests: connect, greet, TLS, options, GO.

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
  std::chrono::milliseconds connect_deadline{10'000};
  std::chrono::milliseconds handshake_deadline{15'000};  // from the first byte to GO's last
};

/// A connection at the first byte of its transmission phase.
struct Dialled {
  std::unique_ptr<Stream> socket;  // below the TLS stream, or the stream itself
  std::unique_ptr<Stream> tls;     // null: in the clear
  Export about;
  TransmissionOptions transmission;
  std::uint32_t base_allocation_context = 0;
  TlsReport tls_report;

  Stream& stream() { return tls ? *tls : *socket; }
};

/// What a server said without going into transmission.
struct Looked {
  std::vector<ClientHandshake::Listed> exports;  // one for info, all for list
  TlsReport tls_report;
  bool structured_replies = false;
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
};

/// Constant once made.
class Dialer final : public ConnectionSource {
 public:
  /// tls: from the URI's scheme and parameters and the command's options, merged. Reads the keys.
  /// Throws Failure (usage, refused).
  Dialer(const BackendForm& form, const TlsSettings& tls, const DialOptions& options, Log& log);
  ~Dialer() override;

  Task<Dialled> dial(Loop& loop) const override;
  bool reaches_one_server() const override { return endpoint_->reaches_one_server(); }
  /// The goal is info or list.
  Task<Looked> look(Loop& loop, ClientHandshakeOptions::Goal goal) const;

  const Endpoint& endpoint() const { return *endpoint_; }

 private:
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<TlsCredentials> credentials_;  // null: policy off
  std::string export_name_;
  TlsPolicy policy_;
  DialOptions options_;
};

}  // namespace nbdring
