#include "client/transport/tls_errors.hpp"

#include <gnutls/x509.h>

#include <cerrno>
#include <ctime>

#include "client/protocol/handshake_text.hpp"
#include "client/transport/tls_certificate.hpp"

namespace nbdring {
namespace {

using Keys = TlsCredentials::State;

Failure refused(const std::string& text) { return Failure(FailureKind::refused, text); }

std::string peer(const Keys& keys) { return keys.is_client() ? "the server" : "the client"; }

std::string quoted(const std::string& text) { return "'" + printable(text) + "'"; }

std::string unknown_psk(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  return keys.is_client()
             ? "it does not know the user " + quoted(keys.psk_user) + ", or the key is wrong"
             : "it says that it is the user " + quoted(transport.peers_psk_user());
}

std::string own_certificate(const Keys& keys) {
  return keys.own_subject.empty() ? "that there is no certificate of ours"
                                  : "our certificate " + keys.own_subject;
}

bool is_about_our_certificate(gnutls_alert_description_t alert) {
  switch (alert) {
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_REVOKED:
    case GNUTLS_A_CERTIFICATE_EXPIRED:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_ACCESS_DENIED:
      return true;
    default:
      return false;
  }
}

std::string words_of(gnutls_alert_description_t alert) {
  const char* words = gnutls_alert_get_name(alert);
  std::string text = words != nullptr ? words : "alert " + std::to_string(alert);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string alert_text(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  const gnutls_alert_description_t alert = gnutls_alert_get(transport.session());
  const std::string who = peer(keys);
  const std::string said = " (\"" + words_of(alert) + "\")";
  if (alert == GNUTLS_A_CERTIFICATE_REQUIRED && !keys.own_subject.empty()) {
    return who + " demands a certificate of a CA that it trusts" + said + "; ours, " +
           keys.own_subject + ", is signed by " + keys.own_issuer;
  }
  if (alert == GNUTLS_A_CERTIFICATE_REQUIRED ||
      (is_about_our_certificate(alert) && keys.own_subject.empty() && keys.is_client() &&
       !keys.uses_psk)) {
    return who + " demands a client certificate" + said +
           ": put client-cert.pem and client-key.pem into the folder of tls-certificates";
  }
  if (is_about_our_certificate(alert)) {
    return who + " refuses " + (keys.uses_psk && keys.is_client() ? "us" : own_certificate(keys)) +
           said;
  }
  if (alert == GNUTLS_A_PROTOCOL_VERSION) {
    return who + " has no version of TLS in common with us" + said;
  }
  if (keys.uses_psk && keys.is_client() &&
      (alert == GNUTLS_A_UNKNOWN_PSK_IDENTITY || alert == GNUTLS_A_DECRYPT_ERROR ||
       alert == GNUTLS_A_ILLEGAL_PARAMETER || alert == GNUTLS_A_BAD_RECORD_MAC ||
       alert == GNUTLS_A_INTERNAL_ERROR || alert == GNUTLS_A_INSUFFICIENT_SECURITY)) {
    return who + " ended the PSK handshake" + said + ": " + unknown_psk(transport);
  }
  if (alert == GNUTLS_A_HANDSHAKE_FAILURE || alert == GNUTLS_A_INSUFFICIENT_SECURITY ||
      alert == GNUTLS_A_MISSING_EXTENSION) {
    return who + " found nothing in common with us" + said + ": " + "it may want " +
           (keys.uses_psk ? "certificates instead of a pre-shared key"
                          : "a pre-shared key instead of certificates") +
           ", another version of TLS, or other ciphers";
  }
  return who + " ended the TLS handshake" + said;
}

/// The first of the peer's certificates that the predicate holds for, else its own.
template <typename Predicate>
CertificateFacts find_certificate(gnutls_session_t session, Predicate predicate) {
  unsigned count = 0;
  const gnutls_datum_t* list = gnutls_certificate_get_peers(session, &count);
  for (unsigned i = 0; i < count; ++i) {
    CertificateFacts facts = facts_of_der(list[i]);
    if (predicate(facts)) return facts;
  }
  return count > 0 ? facts_of_der(list[0]) : CertificateFacts{"?", "?", "", 0, 0};
}

std::string other_trouble(unsigned status) {
  gnutls_datum_t text{};
  if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0) {
    return "it cannot be trusted";
  }
  const std::string words = printable({reinterpret_cast<const char*>(text.data), text.size});
  gnutls_free(text.data);
  return words;
}

std::string verification_text(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  const unsigned status = gnutls_session_get_verify_cert_status(transport.session());
  const std::time_t now = std::time(nullptr);
  const auto any = [](const CertificateFacts&) { return true; };
  const CertificateFacts first = find_certificate(transport.session(), any);
  const std::string whose = peer(keys) + "'s certificate " + first.subject;
  if ((status & GNUTLS_CERT_REVOKED) != 0) {
    return whose + " has been revoked, says " + keys.revocations;
  }
  if ((status & GNUTLS_CERT_EXPIRED) != 0) {
    const auto expired = [now](const CertificateFacts& facts) { return facts.not_after < now; };
    const CertificateFacts facts = find_certificate(transport.session(), expired);
    return peer(keys) + "'s certificate " + facts.subject + " expired on " +
           date_text(facts.not_after);
  }
  if ((status & GNUTLS_CERT_NOT_ACTIVATED) != 0) {
    const auto early = [now](const CertificateFacts& facts) { return facts.not_before > now; };
    const CertificateFacts facts = find_certificate(transport.session(), early);
    return peer(keys) + "'s certificate " + facts.subject + " is not valid before " +
           date_text(facts.not_before) + "; look at this machine's clock";
  }
  if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0) {
    return whose + " is signed by " + first.issuer + ", whom nothing in " + keys.trust +
           " vouches for";
  }
  if ((status & GNUTLS_CERT_UNEXPECTED_OWNER) != 0) {
    return whose + " is not for " + quoted(keys.settings.hostname) + " but for " +
           (first.names.empty() ? "no name at all" : first.names) +
           "; connect to that name, or say tls-hostname=NAME";
  }
  if ((status & GNUTLS_CERT_PURPOSE_MISMATCH) != 0) {
    return whose + " is not meant for a TLS " + (keys.is_client() ? "server" : "client");
  }
  if ((status & GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED) != 0) {
    return whose + " cannot be checked: " + keys.revocations +
           " is out of date; fetch a newer list";
  }
  return whose + ": " + other_trouble(status);
}

std::string closed_text(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  if (keys.uses_psk && keys.is_client()) {
    return "the server closed the connection during the PSK handshake: " + unknown_psk(transport);
  }
  return peer(keys) + " closed the connection during the TLS handshake";
}

}  // namespace

Failure handshake_failure(const TlsTransport& transport, int result) {
  const Keys& keys = transport.keys();
  if (!transport.key_failure().empty()) return refused(transport.key_failure());
  if (transport.is_no_tls()) return refused("what answered is not TLS");
  switch (result) {
    case GNUTLS_E_AGAIN:  // the peer takes no more
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
      if (const int error = transport.lower_error(); error != 0 && error != ECONNRESET) {
        return Failure(FailureKind::unreachable,
                       peer(keys) + " was lost during the TLS handshake: " + error_text(error));
      }
      return refused(closed_text(transport));
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
      return refused(alert_text(transport));
    case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
    case GNUTLS_E_CERTIFICATE_ERROR:
      return refused(verification_text(transport));
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
      return refused(peer(keys) + " showed no certificate");
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
      if (transport.has_unknown_psk()) {
        return refused("the client is not known: " + unknown_psk(transport));
      }
      return refused(keys.uses_psk ? "the server wants certificates, not a pre-shared key: use "
                                     "tls-certificates"
                                   : "the server wants a pre-shared key, not certificates: use "
                                     "tls-psk-file");
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
      return refused(peer(keys) +
                     " has no version of TLS, cipher or key exchange in common with us");
    default:
      if (transport.has_unknown_psk()) {
        return refused("the client is not known, or has the wrong key: " + unknown_psk(transport));
      }
      return refused("TLS with " + peer(keys) + " failed: " + gnutls_strerror(result));
  }
}

void check_agreement(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  const gnutls_session_t session = transport.session();
  const gnutls_credentials_type_t known_by = gnutls_auth_get_type(session);
  const gnutls_kx_algorithm_t exchange = gnutls_kx_get(session);
  if (known_by == GNUTLS_CRD_PSK && keys.uses_psk) {
    if (exchange == GNUTLS_KX_ECDHE_PSK || exchange == GNUTLS_KX_DHE_PSK) return;
  } else if (known_by == GNUTLS_CRD_CERTIFICATE && keys.uses_certificates) {
    if (exchange == GNUTLS_KX_ECDHE_RSA || exchange == GNUTLS_KX_ECDHE_ECDSA) return;
    if (exchange == GNUTLS_KX_DHE_RSA) return;  // TLS 1.3 with a group that is not of a curve
  } else {
    throw refused(peer(keys) + " did not prove that it has the pre-shared key");
  }
  throw refused("the key exchange with " + peer(keys) + " (" + gnutls_kx_get_name(exchange) +
                ") has no forward secrecy");
}

TlsReport report_of(const TlsTransport& transport) {
  const Keys& keys = transport.keys();
  const gnutls_session_t session = transport.session();
  TlsReport report;
  report.version = gnutls_protocol_get_name(gnutls_protocol_get_version(session));
  report.cipher = gnutls_cipher_get_name(gnutls_cipher_get(session));
  report.exchange = gnutls_kx_get_name(gnutls_kx_get(session));
  if (gnutls_auth_get_type(session) == GNUTLS_CRD_PSK) {
    report.peer = keys.is_client() ? printable(keys.psk_user) : transport.peers_psk_user();
  } else {
    unsigned count = 0;
    const gnutls_datum_t* list = gnutls_certificate_get_peers(session, &count);
    if (list != nullptr && count > 0) report.peer = facts_of_der(list[0]).subject;
    // In TLS 1.3 the exchange says nothing of the certificate: GnuTLS would name RSA always.
    if (report.version == "TLS1.3") report.exchange.resize(report.exchange.find('-'));
  }
  return report;
}

std::string end_text(const TlsTransport& transport, bool was_first) {
  const Keys& keys = transport.keys();
  const std::string who = peer(keys);
  const bool by_alert = transport.end_error() == ECONNABORTED;
  if (transport.end() == TlsTransport::End::none) return "";
  if (by_alert) return alert_text(transport);
  if (was_first && keys.is_client() && keys.uses_certificates) {
    return "the server closed the connection right after the TLS handshake: with TLS 1.3 that is "
           "how a server refuses a client's certificate, and this one was shown " +
           (keys.own_subject.empty() ? "none" : keys.own_subject);
  }
  switch (transport.end()) {
    case TlsTransport::End::truncated:
      return who + " closed the connection without the end that TLS demands";
    case TlsTransport::End::failed:
      return "what " + who + " sent is no valid TLS: " + error_text(transport.end_error());
    default:
      return "";
  }
}

}  // namespace nbdring
