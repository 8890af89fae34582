#pragma once
// What a failure of TLS means to the user: which certificate, which name, which user. Only for the
// files of client/transport/tls*.

#include <string>

#include "client/runtime/error.hpp"
#include "client/transport/tls_transport.hpp"

namespace nbdring {

/// result: what gnutls_handshake() ended with. One clause that begins with "the server" or "the
/// client".
Failure handshake_failure(const TlsTransport& transport, int result);

/// After a handshake that GnuTLS takes for a success: throws Failure (refused) unless the peer is
/// known in the way that we insist on and the key exchange was ephemeral.
void check_agreement(const TlsTransport& transport);

TlsReport report_of(const TlsTransport& transport);

/// Why nothing more is received; empty while it is, and after a regular goodbye. was_first: nothing
/// came after the handshake, which with TLS 1.3 is how a server refuses a certificate.
std::string end_text(const TlsTransport& transport, bool was_first);

}  // namespace nbdring
