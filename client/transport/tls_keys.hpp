#pragma once
// What TlsCredentials keeps: GnuTLS's credentials, our PSK file, and the words that messages need.
// Only for the files of client/transport/tls*.

#include <gnutls/gnutls.h>

#include <memory>
#include <string>

#include "client/transport/tls.hpp"
#include "client/transport/tls_psk.hpp"

namespace nbdring {

struct TlsCredentials::State {
  State(Side side, const TlsSettings& settings);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  bool is_client() const { return side == Side::client; }
  /// The peer's certificate is looked at, in one place (TlsTransport's constructor).
  bool verifies_certificates() const { return uses_certificates && settings.verify_peer; }

  Side side;
  TlsSettings settings;
  bool uses_psk = false;
  bool uses_certificates = false;
  std::unique_ptr<PskFile> psk;
  std::string psk_user;     // the client's
  std::string own_subject;  // of our own certificate; empty: we have none
  std::string own_issuer;
  std::string trust;        // where the CAs come from: the file's path or "this system"
  std::string revocations;  // the path of the revocation list; empty: there is none

  gnutls_priority_t priority = nullptr;
  gnutls_certificate_credentials_t certificates = nullptr;
  gnutls_psk_client_credentials_t psk_client = nullptr;
  gnutls_psk_server_credentials_t psk_server = nullptr;

 private:
  void release() noexcept;
  void load_psk();
  void load_certificates();
  void load_trust();
  void load_own_certificate();
  void set_priority();
  void check_ciphers() const;
};

}  // namespace nbdring
