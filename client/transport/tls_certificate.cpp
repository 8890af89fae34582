#include "client/transport/tls_certificate.hpp"

#include <arpa/inet.h>
#include <gnutls/x509.h>

#include <array>

#include "client/protocol/handshake_text.hpp"

namespace nbdring {
namespace {

constexpr std::size_t name_bytes_max = 256;
constexpr unsigned names_max = 8;  // more are not worth a line of log

using NameOf = int (*)(gnutls_x509_crt_t, gnutls_datum_t*, unsigned);

std::string name_of(gnutls_x509_crt_t certificate, NameOf get) {
  gnutls_datum_t name{};
  if (get(certificate, &name, 0) < 0) return "?";
  std::string text = printable({reinterpret_cast<const char*>(name.data), name.size});
  gnutls_free(name.data);
  return text.empty() ? "?" : text;
}

std::string address_text(const char* bytes, std::size_t size) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = size == 4 ? AF_INET : AF_INET6;
  if (size != 4 && size != 16) return "?";
  return ::inet_ntop(family, bytes, text.data(), text.size()) != nullptr ? text.data() : "?";
}

std::string names_of(gnutls_x509_crt_t certificate) {
  std::string names;
  for (unsigned i = 0; i < names_max; ++i) {
    std::array<char, name_bytes_max> name{};
    std::size_t size = name.size();
    const int type =
        gnutls_x509_crt_get_subject_alt_name(certificate, i, name.data(), &size, nullptr);
    if (type < 0) break;
    if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_IPADDRESS) continue;
    if (!names.empty()) names += ", ";
    names += "'" +
             (type == GNUTLS_SAN_DNSNAME ? printable({name.data(), size})
                                         : address_text(name.data(), size)) +
             "'";
  }
  return names;
}

CertificateFacts facts_of(gnutls_x509_crt_t certificate) {
  CertificateFacts facts;
  facts.subject = name_of(certificate, gnutls_x509_crt_get_dn3);
  facts.issuer = name_of(certificate, gnutls_x509_crt_get_issuer_dn3);
  facts.names = names_of(certificate);
  facts.not_before = gnutls_x509_crt_get_activation_time(certificate);
  facts.not_after = gnutls_x509_crt_get_expiration_time(certificate);
  return facts;
}

}  // namespace

CertificateFacts facts_of_der(const gnutls_datum_t& der) {
  CertificateFacts facts{"?", "?", "", 0, 0};
  gnutls_x509_crt_t certificate = nullptr;
  if (gnutls_x509_crt_init(&certificate) != GNUTLS_E_SUCCESS) return facts;
  if (gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS) {
    facts = facts_of(certificate);
  }
  gnutls_x509_crt_deinit(certificate);
  return facts;
}

std::vector<CertificateFacts> facts_of_pem(const std::string& pem) {
  const gnutls_datum_t data{
      reinterpret_cast<unsigned char*>(const_cast<char*>(pem.data())),  // only read
      static_cast<unsigned>(pem.size())};
  gnutls_x509_crt_t* certificates = nullptr;
  unsigned count = 0;
  std::vector<CertificateFacts> facts;
  if (gnutls_x509_crt_list_import2(&certificates, &count, &data, GNUTLS_X509_FMT_PEM, 0) < 0) {
    return facts;
  }
  for (unsigned i = 0; i < count; ++i) {
    facts.push_back(facts_of(certificates[i]));
    gnutls_x509_crt_deinit(certificates[i]);
  }
  gnutls_free(certificates);
  return facts;
}

std::string date_text(std::time_t when) {
  std::tm parts{};
  ::gmtime_r(&when, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d", &parts);
  return std::string(text.data(), length);
}

}  // namespace nbdring
