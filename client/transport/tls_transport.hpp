#pragma once
// A GnuTLS session between two buffers of ciphertext. GnuTLS never sees the lower stream: what it
// sends is appended to one buffer, which goes out with one send for many records; what it asks for
// comes out of the other, which one receive has filled. Only for the files of
// client/transport/tls*.
//
// The buffers exist from the start (GnuTLS itself allocates for each record). One loop's thread.

#include <gnutls/gnutls.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client/transport/stream.hpp"
#include "client/transport/tls_keys.hpp"

namespace nbdring {

/// Bytes on their way through: appended behind, taken in front.
class CiphertextBuffer {
 public:
  explicit CiphertextBuffer(std::size_t capacity)
      : bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {}

  std::span<std::byte> held() const { return {bytes_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  /// Where to append; shifts what is held to the front when there is less than `wanted`.
  std::span<std::byte> room(std::size_t wanted) noexcept;
  void appended(std::size_t bytes) { end_ += bytes; }
  void taken(std::size_t bytes) noexcept;

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// A place in a list of buffers.
class PlaintextCursor {
 public:
  PlaintextCursor(std::span<const iovec> buffers, std::size_t skip);

  /// The next bytes, at most `most`: those of the caller where so many lie in one place, else
  /// gathered in `staging`. Empty at the end.
  std::span<const std::byte> next(std::size_t most, std::span<std::byte> staging) noexcept;

 private:
  std::span<const iovec> buffers_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;  // in the buffer at index_
};

class TlsTransport {
 public:
  /// How the receiving side ended, if it has.
  enum class End { none, clean, truncated, failed };

  TlsTransport(Stream& lower, const TlsCredentials::State& keys);
  ~TlsTransport();
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  gnutls_session_t session() const { return session_; }
  const TlsCredentials::State& keys() const { return keys_; }

  /// Encrypts as many of the bytes as the buffer takes. Bytes, or -EIO.
  ssize_t encrypt(PlaintextCursor& plaintext) noexcept;
  /// Sends what the buffer holds: 0 when all is out, or -EAGAIN, -errno.
  int push_out() noexcept;
  bool has_unsent() const { return !outgoing_.empty(); }

  /// Decrypts into the buffer until it is full, or what has arrived is used up, or the stream has
  /// ended. Bytes.
  std::size_t decrypt(std::span<std::byte> into) noexcept;
  /// Before each series of decrypt(): the lower stream may be asked again.
  void ask_again() { lower_is_empty_ = false; }
  bool holds_received() const;
  End end() const { return end_; }
  int end_error() const { return end_error_; }

  void shut_down_by_us() { by_us_ = true; }

  // What the callbacks noted, for messages.
  void note_key_failure(std::string text) { key_failure_ = std::move(text); }
  void note_psk_user(std::string_view user);
  const std::string& key_failure() const { return key_failure_; }
  const std::string& peers_psk_user() const { return peers_psk_user_; }
  /// A client named a PSK user, and the handshake has not ended well.
  bool has_unknown_psk() const { return !keys_.is_client() && !peers_psk_user_.empty(); }
  bool is_no_tls() const { return is_no_tls_; }
  int lower_error() const { return lower_error_; }

 private:
  static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t* pieces, int count);
  static ssize_t pull(gnutls_transport_ptr_t transport, void* into, std::size_t size);
  static int has_arrived(gnutls_transport_ptr_t transport, unsigned milliseconds);

  void set_up();
  void demand_verification();
  ssize_t refill() noexcept;
  bool goes_on_after(int result) noexcept;
  void end_with(End end, int error) noexcept;

  Stream& lower_;
  const TlsCredentials::State& keys_;
  gnutls_session_t session_ = nullptr;
  std::array<gnutls_typed_vdata_st, 2> demands_{};  // read by GnuTLS during the handshake

  CiphertextBuffer outgoing_;
  CiphertextBuffer incoming_;
  std::unique_ptr<std::byte[]> staging_;  // one record's plaintext, out of small pieces
  bool lower_is_empty_ = false;           // it gave less than was asked for
  bool has_received_ = false;
  bool is_no_tls_ = false;
  bool by_us_ = false;
  unsigned warnings_ = 0;

  End end_ = End::none;
  int end_error_ = 0;    // errno
  int lower_error_ = 0;  // errno of the lower stream; 0: it ended, or has not failed
  std::string key_failure_;
  std::string peers_psk_user_;
};

}  // namespace nbdring
