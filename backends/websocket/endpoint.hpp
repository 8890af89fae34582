#pragma once
// ws:// and wss:// as an endpoint: TCP, TLS for wss, the websocket's handshake, and then a stream
// whose bytes are NBD's. The URI's path and the parameters that are not ours are the websocket's
// own; an export's name comes by the parameter `export`, for a websocket mostly leads to one
// export.
//
// Ours: export=NAME, token-file=FILE, and those of TLS.
//
// token-file: "id:secret", sent as `Authorization: Bearer id:secret`; the file is for its owner
// alone. A server whose tokens are good for one use sends the next one in the 101's header
// Nbdring-Next-Token: it is in the file, on the disk, before the connection is used. While one
// connection is shown in with the token the others wait for the successor, or, where the 101 has an
// Nbdring-Session, come in with that (subprotocol nbd.session.KEY).

#include <memory>

#include "backends/nbd/endpoint.hpp"
#include "client/protocol/uri.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

/// Reads the TLS keys and the token. The log outlives it. connect() throws Failure, naming the URI:
/// refused (TLS, or access denied), not_found, busy, unreachable (also: this is no websocket).
/// Throws Failure (usage, refused).
std::unique_ptr<Endpoint> make_websocket_endpoint(const Uri& uri, const TlsSettings& tls, Log& log);

}  // namespace nbdring
