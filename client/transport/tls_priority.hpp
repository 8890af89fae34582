#pragma once
// Which versions, ciphers and key exchanges are offered or accepted, in GnuTLS's priority syntax.
// Pure functions, but for the look at the CPU.
//
// TLS 1.3, else 1.2; ephemeral key exchange only, so that a key that becomes known later opens
// nothing that was recorded; AEAD ciphers only. An external PSK is bound to SHA-256 (GnuTLS 3.7),
// so with it AES-256-GCM is never chosen in TLS 1.3; in TLS 1.2 ECDHE-PSK has ChaCha20 and DHE-PSK
// AES. AES-128-GCM is first where the CPU has AES (1.6 GB/s a connection against 0.34 with
// ChaCha20), ChaCha20 elsewhere. A server insists on its own order where its CPU has AES: clients
// on GnuTLS's defaults put ChaCha20 before AES-128-GCM whatever their CPU.

#include <string>

namespace nbdring {

struct PriorityWishes {
  bool psk = false;           // we have pre-shared keys
  bool certificates = false;  // we have certificates, or verify the peer's
  bool server = false;
  bool cpu_has_aes = false;
};

std::string default_priority(const PriorityWishes& wishes);

/// The user's words for versions, ciphers and groups, with our key exchanges: no string that a user
/// gives lacks the one that the keys need, or lets forward secrecy go.
std::string users_priority(const std::string& users, const PriorityWishes& wishes);

/// This machine's.
bool cpu_has_aes();

}  // namespace nbdring
