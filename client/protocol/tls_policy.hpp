#pragma once
// Whether a connection is encrypted: what the user decides, and both handshakes obey (the protocol
// document's "TLS support": NOTLS, SELECTIVETLS, FORCEDTLS).

#include <cstdint>

namespace nbdring {

enum class TlsPolicy : std::uint8_t {
  off,    // never asked for; a server refuses STARTTLS
  allow,  // used where the peer has it; a TLS handshake that fails is a failure all the same
  require,
};

}  // namespace nbdring
