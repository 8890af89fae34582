#include "client/transport/tls_transport.hpp"

#include <arpa/inet.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/protocol/handshake_text.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t record_bytes = 16 * 1024;  // RFC 8446, 5.1: the largest plaintext
// A record may grow by 2048 bytes in TLS 1.2, by 256 in 1.3; a key update or an alert before it is
// far smaller than the rest of this.
constexpr std::size_t record_room = record_bytes + 2048 + 1024;
// Eight full records and a small one in one send: the replies that a lane sends at once.
constexpr std::size_t outgoing_bytes = 10 * record_bytes;
constexpr std::size_t incoming_bytes = 128 * 1024;
constexpr unsigned warnings_max = 8;  // alerts that end nothing; more are mischief

TlsTransport& transport_of(gnutls_transport_ptr_t pointer) {
  return *static_cast<TlsTransport*>(pointer);
}

// RFC 8446, 5.1: type (20 to 23), then the version's first byte, 3 since SSL 3.0.
bool begins_like_tls(std::span<const std::byte> bytes) {
  const auto type = std::to_integer<unsigned>(bytes[0]);
  return type >= 20 && type <= 23 && (bytes.size() < 2 || bytes[1] == std::byte{3});
}

bool is_address(const std::string& host) {
  std::array<std::byte, sizeof(in6_addr)> address;
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

void expect(int result, const char* what) {
  if (result >= 0) return;
  throw Failure(FailureKind::failed, std::string(what) + ": " + gnutls_strerror(result));
}

}  // namespace

std::span<std::byte> CiphertextBuffer::room(std::size_t wanted) noexcept {
  if (capacity_ - end_ < wanted && begin_ > 0) {
    std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {bytes_.get() + end_, capacity_ - end_};
}

void CiphertextBuffer::taken(std::size_t bytes) noexcept {
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

PlaintextCursor::PlaintextCursor(std::span<const iovec> buffers, std::size_t skip)
    : buffers_(buffers), offset_(skip) {
  while (index_ < buffers_.size() && offset_ >= buffers_[index_].iov_len) {
    offset_ -= buffers_[index_++].iov_len;
  }
}

std::span<const std::byte> PlaintextCursor::next(std::size_t most,
                                                 std::span<std::byte> staging) noexcept {
  std::size_t gathered = 0;
  while (index_ < buffers_.size()) {
    const iovec& buffer = buffers_[index_];
    const std::size_t count = std::min(buffer.iov_len - offset_, most - gathered);
    const auto* from = static_cast<const std::byte*>(buffer.iov_base) + offset_;
    offset_ += count;
    const bool is_used_up = offset_ == buffer.iov_len;
    if (is_used_up) {
      ++index_;
      offset_ = 0;
    }
    const bool is_last = index_ == buffers_.size();
    if (gathered == 0 && (count == most || is_last)) return {from, count};
    if (count > 0) std::memcpy(staging.data() + gathered, from, count);
    gathered += count;
    if (gathered == most) break;
  }
  return staging.first(gathered);
}

TlsTransport::TlsTransport(Stream& lower, const TlsCredentials::State& keys)
    : lower_(lower),
      keys_(keys),
      outgoing_(outgoing_bytes),
      incoming_(incoming_bytes),
      staging_(std::make_unique_for_overwrite<std::byte[]>(record_bytes)) {
  const unsigned side = keys.is_client() ? GNUTLS_CLIENT : GNUTLS_SERVER;
  expect(gnutls_init(&session_, side | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS),
         "cannot start TLS");
  try {
    set_up();
  } catch (...) {
    gnutls_deinit(session_);
    throw;
  }
}

TlsTransport::~TlsTransport() { gnutls_deinit(session_); }

void TlsTransport::set_up() {
  gnutls_session_set_ptr(session_, this);
  gnutls_transport_set_ptr(session_, this);
  gnutls_transport_set_vec_push_function(session_, push);
  gnutls_transport_set_pull_function(session_, pull);
  gnutls_transport_set_pull_timeout_function(session_, has_arrived);
  expect(gnutls_priority_set(session_, keys_.priority), "cannot start TLS");
  if (keys_.psk_client != nullptr) {
    expect(gnutls_credentials_set(session_, GNUTLS_CRD_PSK, keys_.psk_client), "cannot start TLS");
  }
  if (keys_.psk_server != nullptr) {
    expect(gnutls_credentials_set(session_, GNUTLS_CRD_PSK, keys_.psk_server), "cannot start TLS");
  }
  if (!keys_.uses_certificates) return;
  expect(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, keys_.certificates),
         "cannot start TLS");
  const std::string& host = keys_.settings.hostname;
  if (keys_.is_client() && !host.empty() && !is_address(host)) {
    expect(gnutls_server_name_set(session_, GNUTLS_NAME_DNS, host.data(), host.size()),
           "cannot ask the server for the name in tls-hostname");
  }
  if (!keys_.is_client()) {
    gnutls_certificate_server_set_request(
        session_, keys_.settings.verify_peer ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
  }
  if (keys_.verifies_certificates()) demand_verification();
}

// The one place that decides what a peer's certificate has to be. The handshake fails when any of
// it does not hold: chain, dates, revocation, purpose, and for a client the server's name (an IP
// address is compared with the certificate's addresses).
void TlsTransport::demand_verification() {
  unsigned count = 0;
  const char* purpose = keys_.is_client() ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
  demands_[count].type = GNUTLS_DT_KEY_PURPOSE_OID;
  demands_[count++].data = reinterpret_cast<unsigned char*>(const_cast<char*>(purpose));
  if (keys_.is_client()) {
    const std::string& host = keys_.settings.hostname;
    ENSURE(!host.empty());
    demands_[count].type = GNUTLS_DT_DNS_HOSTNAME;
    demands_[count].size = static_cast<unsigned>(host.size());
    demands_[count++].data = reinterpret_cast<unsigned char*>(const_cast<char*>(host.c_str()));
  }
  gnutls_session_set_verify_cert2(session_, demands_.data(), count, 0);
}

ssize_t TlsTransport::push(gnutls_transport_ptr_t pointer, const giovec_t* pieces, int count) {
  TlsTransport& self = transport_of(pointer);
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) total += pieces[i].iov_len;
  const std::span<std::byte> room = self.outgoing_.room(total);
  if (room.size() < total) {
    // Only a handshake has so much to say at once; its caller sends and lets GnuTLS go on.
    gnutls_transport_set_errno(self.session_, EAGAIN);
    return -1;
  }
  std::byte* to = room.data();
  for (int i = 0; i < count; ++i) {
    if (pieces[i].iov_len == 0) continue;
    std::memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    to += pieces[i].iov_len;
  }
  self.outgoing_.appended(total);
  return static_cast<ssize_t>(total);
}

ssize_t TlsTransport::pull(gnutls_transport_ptr_t pointer, void* into, std::size_t size) {
  TlsTransport& self = transport_of(pointer);
  if (self.incoming_.empty()) {
    const ssize_t result = self.refill();
    if (result == 0) return 0;
    if (result < 0) {
      gnutls_transport_set_errno(self.session_, static_cast<int>(-result));
      return -1;
    }
  }
  const std::span<std::byte> held = self.incoming_.held();
  const std::size_t count = std::min(size, held.size());
  std::memcpy(into, held.data(), count);
  self.incoming_.taken(count);
  return static_cast<ssize_t>(count);
}

int TlsTransport::has_arrived(gnutls_transport_ptr_t, unsigned) { return 1; }

// One receive fills the buffer. When it gave less than was asked for there is no more: asking again
// would only cost a system call.
ssize_t TlsTransport::refill() noexcept {
  if (lower_is_empty_) return -EAGAIN;
  const std::span<std::byte> room = incoming_.room(incoming_bytes);
  std::array<iovec, 1> buffer{iovec{room.data(), room.size()}};
  const ssize_t result = lower_.receive(buffer);
  if (result == -EAGAIN || result == -EINTR) return -EAGAIN;
  if (result < 0) lower_error_ = static_cast<int>(-result);
  if (result <= 0) return result;
  const auto count = static_cast<std::size_t>(result);
  lower_is_empty_ = count < room.size();
  if (!std::exchange(has_received_, true) && !begins_like_tls(room.first(count))) {
    is_no_tls_ = true;
    return -EBADMSG;
  }
  incoming_.appended(count);
  return result;
}

ssize_t TlsTransport::encrypt(PlaintextCursor& plaintext) noexcept {
  ssize_t total = 0;
  while (outgoing_.room(record_room).size() >= record_room) {
    const auto record = plaintext.next(record_bytes, std::span(staging_.get(), record_bytes));
    if (record.empty()) break;
    std::size_t done = 0;
    while (done < record.size()) {
      const ssize_t sent = gnutls_record_send(session_, record.data() + done, record.size() - done);
      if (sent <= 0) return -EIO;
      done += static_cast<std::size_t>(sent);
    }
    total += static_cast<ssize_t>(done);
  }
  return total;
}

int TlsTransport::push_out() noexcept {
  while (!outgoing_.empty()) {
    const std::span<std::byte> held = outgoing_.held();
    std::array<iovec, 1> buffer{iovec{held.data(), held.size()}};
    const ssize_t sent = lower_.send(buffer);
    if (sent == -EINTR) continue;
    if (sent < 0) return static_cast<int>(sent);
    outgoing_.taken(static_cast<std::size_t>(sent));
  }
  return 0;
}

bool TlsTransport::holds_received() const {
  return !incoming_.empty() || gnutls_record_check_pending(session_) > 0;
}

std::size_t TlsTransport::decrypt(std::span<std::byte> into) noexcept {
  std::size_t total = 0;
  while (total < into.size() && end_ == End::none) {
    const ssize_t bytes = gnutls_record_recv(session_, into.data() + total, into.size() - total);
    if (bytes > 0) {
      total += static_cast<std::size_t>(bytes);
    } else if (!goes_on_after(static_cast<int>(bytes))) {
      break;
    }
  }
  return total;
}

// What gnutls_record_recv() said instead of a number of bytes. True: ask again.
bool TlsTransport::goes_on_after(int result) noexcept {
  switch (result) {
    case 0:
      end_with(End::clean, 0);
      return false;
    case GNUTLS_E_AGAIN:
    case GNUTLS_E_INTERRUPTED:
      return false;
    case GNUTLS_E_WARNING_ALERT_RECEIVED:
      if (++warnings_ <= warnings_max) return true;
      end_with(End::failed, EPROTO);
      return false;
    case GNUTLS_E_PREMATURE_TERMINATION:
      end_with(by_us_ ? End::clean : End::truncated, by_us_ ? 0 : ECONNRESET);
      return false;
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
      end_with(End::failed, ECONNABORTED);
      return false;
    case GNUTLS_E_DECRYPTION_FAILED:
      end_with(End::failed, EBADMSG);
      return false;
    default:
      // Renegotiation (GNUTLS_E_REHANDSHAKE) is refused here as well.
      end_with(End::failed, lower_error_ != 0 ? lower_error_ : EPROTO);
      return false;
  }
}

void TlsTransport::end_with(End end, int error) noexcept {
  end_ = end;
  end_error_ = error;
}

void TlsTransport::note_psk_user(std::string_view user) { peers_psk_user_ = printable(user); }

}  // namespace nbdring
