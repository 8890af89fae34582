#include <pwd.h>
#include <unistd.h>

#include <array>
#include <ctime>

#include "client/protocol/handshake_text.hpp"
#include "client/transport/tls_certificate.hpp"
#include "client/transport/tls_keys.hpp"
#include "client/transport/tls_priority.hpp"
#include "client/transport/tls_transport.hpp"

namespace nbdring {
namespace {

[[noreturn]] void refuse(FailureKind kind, const std::string& text) { throw Failure(kind, text); }

void expect(int result, const std::string& what) {
  if (result >= 0) return;
  refuse(FailureKind::usage, what + ": " + gnutls_strerror(result));
}

gnutls_datum_t datum_of(std::string_view text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),  // only read
          static_cast<unsigned>(text.size())};
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string name_of_this_user() {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr ? found->pw_name : "";
}

// GnuTLS asks during the handshake, so that the key is in its memory for no longer than that.
int give_key(gnutls_session_t session, std::string_view user, gnutls_datum_t* key) {
  auto& transport = *static_cast<TlsTransport*>(gnutls_session_get_ptr(session));
  try {
    std::optional<SecretBytes> found = transport.keys().psk->key_of(user);
    if (!found) return GNUTLS_E_INSUFFICIENT_CREDENTIALS;
    const std::span<std::byte> bytes = found->bytes();
    key->data = static_cast<unsigned char*>(gnutls_malloc(bytes.size()));
    if (key->data == nullptr) return GNUTLS_E_MEMORY_ERROR;
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(key->data));
    key->size = static_cast<unsigned>(bytes.size());
    return 0;
  } catch (const Failure& failure) {
    transport.note_key_failure(failure.what());
    return GNUTLS_E_INSUFFICIENT_CREDENTIALS;
  }
}

int give_clients_key(gnutls_session_t session, gnutls_datum_t* user, gnutls_datum_t* key) {
  const std::string& name =
      static_cast<TlsTransport*>(gnutls_session_get_ptr(session))->keys().psk_user;
  const int result = give_key(session, name, key);
  if (result < 0) return result;
  user->data = static_cast<unsigned char*>(gnutls_malloc(name.size()));
  if (user->data == nullptr) {
    gnutls_memset(key->data, 0, key->size);
    gnutls_free(key->data);
    return GNUTLS_E_MEMORY_ERROR;
  }
  std::copy(name.begin(), name.end(), user->data);
  user->size = static_cast<unsigned>(name.size());
  return 0;
}

int look_up_clients_key(gnutls_session_t session, const gnutls_datum_t* user, gnutls_datum_t* key) {
  const std::string_view name(reinterpret_cast<const char*>(user->data), user->size);
  static_cast<TlsTransport*>(gnutls_session_get_ptr(session))->note_psk_user(name);
  return give_key(session, name, key);
}

void check_dates(const CertificateFacts& facts, const std::string& path) {
  const std::time_t now = std::time(nullptr);
  const std::string name = path + ": the certificate " + facts.subject;
  if (facts.not_after < now) {
    refuse(FailureKind::refused,
           name + " expired on " + date_text(facts.not_after) + "; have it renewed");
  }
  if (facts.not_before > now) {
    refuse(FailureKind::refused, name + " is not valid before " + date_text(facts.not_before) +
                                     "; look at this machine's clock");
  }
}

}  // namespace

TlsCredentials::State::State(Side its_side, const TlsSettings& its_settings)
    : side(its_side), settings(its_settings) {
  uses_psk = !settings.psk_file.empty();
  // A client that has a key says who it is by that; a server can know clients both ways.
  uses_certificates = is_client() ? !uses_psk : !settings.certificates.empty();
  if (!uses_psk && !uses_certificates) {
    refuse(FailureKind::usage, "TLS needs keys: give a PSK file or a folder with certificates");
  }
  try {
    if (uses_psk) load_psk();
    if (uses_certificates) load_certificates();
    set_priority();
  } catch (...) {
    release();
    throw;
  }
}

TlsCredentials::State::~State() { release(); }

void TlsCredentials::State::release() noexcept {
  if (priority != nullptr) gnutls_priority_deinit(priority);
  if (certificates != nullptr) gnutls_certificate_free_credentials(certificates);
  if (psk_client != nullptr) gnutls_psk_free_client_credentials(psk_client);
  if (psk_server != nullptr) gnutls_psk_free_server_credentials(psk_server);
}

void TlsCredentials::State::load_psk() {
  psk = std::make_unique<PskFile>(settings.psk_file);
  if (!is_client()) {
    expect(gnutls_psk_allocate_server_credentials(&psk_server), "cannot set up TLS-PSK");
    gnutls_psk_set_server_credentials_function2(psk_server, look_up_clients_key);
    // For clients whose TLS 1.2 offers no group by name.
    expect(gnutls_psk_set_server_known_dh_params(psk_server, GNUTLS_SEC_PARAM_MEDIUM),
           "cannot set up TLS-PSK");
    return;
  }
  psk_user = settings.psk_user.empty() ? name_of_this_user() : settings.psk_user;
  if (psk_user.empty() || psk_user.size() > psk_user_bytes_max) {
    refuse(FailureKind::usage,
           "TLS-PSK: the user's name has to have 1 to 128 bytes; write it into "
           "the URI, as nbds://USER@HOST/");
  }
  if (!psk->key_of(psk_user)) {
    refuse(FailureKind::refused, settings.psk_file + " has no key for the user '" +
                                     printable(psk_user) +
                                     "'; write another user into the URI, as nbds://USER@HOST/, "
                                     "or add one with psktool");
  }
  expect(gnutls_psk_allocate_client_credentials(&psk_client), "cannot set up TLS-PSK");
  gnutls_psk_set_client_credentials_function2(psk_client, give_clients_key);
}

void TlsCredentials::State::load_certificates() {
  expect(gnutls_certificate_allocate_credentials(&certificates), "cannot set up TLS");
  if (is_client() && settings.verify_peer && settings.hostname.empty()) {
    refuse(FailureKind::usage,
           "TLS: there is no host name that the server's certificate could be compared with; say "
           "tls-hostname=NAME");
  }
  if (verifies_certificates()) load_trust();
  if (!settings.certificates.empty() || !settings.certificate_file.empty()) {
    load_own_certificate();
  }
}

void TlsCredentials::State::load_trust() {
  if (settings.certificates.empty() && settings.authorities_file.empty()) {
    trust = "this system";
    expect(gnutls_certificate_set_x509_system_trust(certificates),
           "cannot load this system's CA certificates");
    return;
  }
  const bool is_alone = !settings.authorities_file.empty();
  trust = is_alone ? settings.authorities_file : settings.certificates + "/ca-cert.pem";
  const std::string authorities = read_public_file(trust);
  const gnutls_datum_t data = datum_of(authorities);
  if (gnutls_certificate_set_x509_trust_mem(certificates, &data, GNUTLS_X509_FMT_PEM) <= 0) {
    refuse(FailureKind::usage, trust + " has no certificate in PEM form in it");
  }
  const std::string revoked = settings.certificates + "/ca-crl.pem";
  if (is_alone || !exists(revoked)) return;
  revocations = revoked;
  const std::string list = read_public_file(revoked);
  const gnutls_datum_t list_data = datum_of(list);
  if (gnutls_certificate_set_x509_crl_mem(certificates, &list_data, GNUTLS_X509_FMT_PEM) <= 0) {
    refuse(FailureKind::usage, revoked + " has no revocation list in PEM form in it");
  }
}

void TlsCredentials::State::load_own_certificate() {
  const std::string name = settings.certificates + (is_client() ? "/client-" : "/server-");
  const bool is_alone = !settings.certificate_file.empty();
  const std::string certificate_path = is_alone ? settings.certificate_file : name + "cert.pem";
  const std::string key_path = is_alone ? settings.key_file : name + "key.pem";
  const bool may_have_none = is_client() && !is_alone;
  if (may_have_none && !exists(certificate_path) && !exists(key_path)) return;
  const std::string certificate = read_public_file(certificate_path);
  const SecretFile key = read_secret_file(key_path);
  const auto facts = facts_of_pem(certificate);
  if (facts.empty()) {
    refuse(FailureKind::usage, certificate_path + " has no certificate in PEM form in it");
  }
  check_dates(facts.front(), certificate_path);
  own_subject = facts.front().subject;
  own_issuer = facts.front().issuer;
  const gnutls_datum_t certificate_data = datum_of(certificate);
  const gnutls_datum_t key_data = datum_of(key.content.text());
  const int result = gnutls_certificate_set_x509_key_mem2(
      certificates, &certificate_data, &key_data, GNUTLS_X509_FMT_PEM, nullptr, 0);
  if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
    refuse(FailureKind::refused,
           key_path + " is not the key of the certificate in " + certificate_path);
  }
  if (result == GNUTLS_E_DECRYPTION_FAILED) {
    refuse(FailureKind::refused, key_path +
                                     " is locked with a password, for which nbdring has no "
                                     "way to ask; store the key without one");
  }
  expect(result, key_path + " is not a private key in PEM form");
}

void TlsCredentials::State::set_priority() {
  PriorityWishes wishes;
  wishes.psk = uses_psk;
  wishes.certificates = uses_certificates;
  wishes.server = !is_client();
  wishes.cpu_has_aes = cpu_has_aes();
  const bool is_ours = settings.priority.empty();
  const std::string text =
      is_ours ? default_priority(wishes) : users_priority(settings.priority, wishes);
  const char* error_at = nullptr;
  const int result = gnutls_priority_init(&priority, text.c_str(), &error_at);
  if (result >= 0) {
    if (!is_ours) check_ciphers();
    return;
  }
  priority = nullptr;
  if (result == GNUTLS_E_NO_PRIORITIES_WERE_SET) {
    refuse(FailureKind::usage, "tls-priority '" + printable(settings.priority) +
                                   "' leaves no version of TLS or no cipher to agree on; leave it "
                                   "out, or start it with NORMAL");
  }
  const std::size_t place =
      error_at == nullptr ? 0 : static_cast<std::size_t>(error_at - text.c_str());
  const std::string rest = place < settings.priority.size() ? settings.priority.substr(place) : "";
  refuse(FailureKind::usage,
         "tls-priority '" + printable(settings.priority) + "' is not understood" +
             (rest.empty() ? "" : " from '" + printable(rest) + "' on") +
             "; see `gnutls-cli --list` and \"Priority strings\" in GnuTLS's manual");
}

// A priority can be well-formed and leave nothing that a pre-shared key could be used with; the
// handshake would only say that the other side closed.
void TlsCredentials::State::check_ciphers() const {
  const unsigned* list = nullptr;
  const int versions = gnutls_priority_protocol_list(priority, &list);
  bool only_13 = true;
  for (int i = 0; i < versions; ++i) only_13 = only_13 && list[i] == GNUTLS_TLS1_3;
  const int ciphers = gnutls_priority_cipher_list(priority, &list);
  bool has_sha256 = false;
  for (int i = 0; i < ciphers; ++i) {
    has_sha256 = has_sha256 || list[i] == GNUTLS_CIPHER_AES_128_GCM ||
                 list[i] == GNUTLS_CIPHER_CHACHA20_POLY1305 ||
                 list[i] == GNUTLS_CIPHER_AES_128_CCM || list[i] == GNUTLS_CIPHER_AES_128_CCM_8;
  }
  if (uses_psk && !uses_certificates && only_13 && !has_sha256) {
    refuse(FailureKind::usage,
           "tls-priority '" + printable(settings.priority) +
               "' leaves no cipher for a pre-shared key in TLS 1.3, which needs one that goes "
               "with SHA-256; add +AES-128-GCM or +CHACHA20-POLY1305");
  }
}

TlsCredentials::TlsCredentials(Side side, const TlsSettings& settings)
    : state_(std::make_unique<State>(side, settings)) {}

TlsCredentials::~TlsCredentials() = default;

const TlsSettings& TlsCredentials::settings() const { return state_->settings; }

}  // namespace nbdring
