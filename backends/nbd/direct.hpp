#pragma once
// For attach --path=kernel: connections to a server, negotiated here, that the kernel's driver is
// to talk over itself, and which exports and backends that is possible with.
//
// The driver knows simple replies, blocks of 512 to 4096 bytes, and TCP and Unix sockets in the
// clear. It does nothing by other means: what the server has no flag for it never gets. And it
// keeps nothing of what was acknowledged, so nothing is written again after a loss.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/nbd/dial.hpp"
#include "backends/nbd/tls_settings.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/protocol/export.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"

namespace nbdring {

/// A connection at the first byte of its transmission phase; blocking.
struct DirectConnection {
  FileDescriptor socket;
  Export about;  // as the server said it
};

/// One loop's thread. The log outlives it.
class DirectSource {
 public:
  /// Throws Failure (usage) where check_direct() does.
  DirectSource(const BackendForm& form, Log& log);

  /// Throws Failure, see Dialer.
  Task<DirectConnection> dial(Loop& loop) const;
  /// For messages: "host:10809".
  const std::string& endpoint() const { return dialer_.endpoint().text(); }

 private:
  Dialer dialer_;
};

/// Failure (usage) that names what of it only the engine can do.
void check_direct(const BackendForm& form, const std::vector<LayerSpec>& layers,
                  const TlsOptions& tls);

/// What the driver is told of the server's export. Failure (usage) where only the engine can serve
/// it, (unreachable) where nobody can.
Export for_driver(const Export& remote, bool read_only);

/// See difference() (remote_identity.hpp); with several connections that must stay allowed, too.
std::string direct_difference(const Export& attached, const Export& offered, unsigned connections);

}  // namespace nbdring
