#pragma once
// What messages say of a certificate. Everything in it was written by the peer, so it is made
// printable and short before anybody reads it.

#include <gnutls/gnutls.h>

#include <ctime>
#include <string>
#include <vector>

namespace nbdring {

struct CertificateFacts {
  std::string subject;  // "CN=server,O=Example"
  std::string issuer;
  std::string names;  // "'nas', 'nas.example', '192.0.2.1'"; empty: none
  std::time_t not_before = 0;
  std::time_t not_after = 0;
};

CertificateFacts facts_of_der(const gnutls_datum_t& der);
/// Of the certificates in a PEM file, in its order; empty when there is none.
std::vector<CertificateFacts> facts_of_pem(const std::string& pem);

/// "2026-11-21", UTC.
std::string date_text(std::time_t when);

}  // namespace nbdring
