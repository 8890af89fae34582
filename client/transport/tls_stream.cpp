#include <poll.h>

#include <cerrno>

#include "client/transport/tls.hpp"
#include "client/transport/tls_errors.hpp"
#include "client/transport/tls_transport.hpp"

namespace nbdring {

TlsStream::TlsStream(Loop& loop, Stream& lower, const TlsCredentials& credentials)
    : loop_(&loop),
      lower_(lower),
      transport_(std::make_unique<TlsTransport>(lower, credentials.state())) {}

TlsStream::~TlsStream() = default;

Task<void> TlsStream::shake_hands() {
  int result = GNUTLS_E_AGAIN;
  bool is_open = true;
  while (result != GNUTLS_E_SUCCESS) {
    transport_->ask_again();
    result = gnutls_handshake(transport_->session());
    const bool goes_on = result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
    const bool is_fatal = !goes_on && gnutls_error_is_fatal(result) != 0;
    if (is_fatal) send_alert(result);
    const bool needs_peer = goes_on && gnutls_record_get_direction(transport_->session()) == 0;
    is_open = co_await send_handshake();
    if (is_fatal) break;
    // A peer that takes no more may have said why before: that is still to be received.
    if (!is_open && !needs_peer) break;
    if (needs_peer) {
      co_await lower_.readable();
    }
  }
  if (result != GNUTLS_E_SUCCESS) throw handshake_failure(*transport_, result);
  if (!is_open) throw handshake_failure(*transport_, GNUTLS_E_PREMATURE_TERMINATION);
  check_agreement(*transport_);
  has_shaken_hands_ = true;
}

// Tells the peer why, so that its user need not guess. An unknown PSK user is told the same as one
// with a wrong key: users cannot be found out by trying.
void TlsStream::send_alert(int result) {
  if (transport_->has_unknown_psk()) {
    gnutls_alert_send(transport_->session(), GNUTLS_AL_FATAL, GNUTLS_A_DECRYPT_ERROR);
  } else {
    gnutls_alert_send_appropriate(transport_->session(), result);
  }
}

// Sends what GnuTLS has written. False when the lower stream takes no more.
Task<bool> TlsStream::send_handshake() {
  int result = transport_->push_out();
  while (result == -EAGAIN) {
    co_await lower_.writable();
    result = transport_->push_out();
  }
  co_return result == 0;
}

TlsReport TlsStream::report() const { return report_of(*transport_); }

std::string TlsStream::why_ended() const { return end_text(*transport_, received_ == 0); }

ssize_t TlsStream::receive(std::span<iovec> buffers) noexcept {
  transport_->ask_again();
  std::size_t total = 0;
  for (const iovec& buffer : buffers) {
    const std::span into(static_cast<std::byte*>(buffer.iov_base), buffer.iov_len);
    const std::size_t bytes = transport_->decrypt(into);
    total += bytes;
    if (bytes < into.size()) break;
  }
  // What GnuTLS answered by itself; where a send() waits, that sends it.
  if (unreported_ == 0) transport_->push_out();
  if (total > 0) {
    received_ += total;
    return static_cast<ssize_t>(total);
  }
  switch (transport_->end()) {
    case TlsTransport::End::none:
      return -EAGAIN;
    case TlsTransport::End::clean:
      return 0;
    default:
      return -transport_->end_error();
  }
}

// Bytes count as sent when the record that they are in is out to its last byte: who waits for the
// stream to take them asks again, which is what sends the rest of the ciphertext.
ssize_t TlsStream::send(std::span<iovec> buffers) noexcept {
  std::size_t sent = 0;
  for (;;) {
    PlaintextCursor plaintext(buffers, sent + unreported_);
    const ssize_t encrypted = transport_->encrypt(plaintext);
    if (encrypted < 0) return encrypted;
    unreported_ += static_cast<std::size_t>(encrypted);
    if (!transport_->has_unsent()) break;
    const int result = transport_->push_out();
    if (result == -EAGAIN) break;
    if (result < 0) return result;
    sent += std::exchange(unreported_, 0);
  }
  return sent > 0 || !transport_->has_unsent() ? static_cast<ssize_t>(sent) : -EAGAIN;
}

Operation TlsStream::readable() {
  if (transport_->end() != TlsTransport::End::none || transport_->holds_received()) {
    return Operation(*loop_, POLLIN);
  }
  return lower_.readable();
}

Operation TlsStream::writable() { return lower_.writable(); }

void TlsStream::move_to(Loop& loop) noexcept {
  loop_ = &loop;
  lower_.move_to(loop);
}

void TlsStream::shut_down() noexcept {
  transport_->shut_down_by_us();
  if (has_shaken_hands_ && !std::exchange(said_goodbye_, true)) {
    gnutls_bye(transport_->session(), GNUTLS_SHUT_WR);
    transport_->push_out();
  }
  lower_.shut_down();
}

}  // namespace nbdring
