#pragma once
// TLS as a stream over a stream. The only user of GnuTLS.
//
// Keys are checked and read once (TlsCredentials), then shared by every connection. A TlsStream
// hands GnuTLS whole buffers both ways: what the lower stream has is received with one call and
// decrypted record by record, and records are gathered and sent with one call (GnuTLS's own way is
// two receives a record). Verification fails closed, in one place.
//
// Priorities. An external PSK is bound to SHA-256, so TLS 1.3 with PSK has AES-128-GCM and
// ChaCha20; where the CPU has AES, AES-128-GCM goes first, for GnuTLS's default order costs a
// multiple. Key exchange is always ephemeral.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/protocol/tls_policy.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

/// What the user said, in the URI or as options (interface.md, "TLS parameters").
struct TlsSettings {
  TlsPolicy policy = TlsPolicy::off;
  std::string psk_file;      // psktool's user:hexkey lines
  std::string psk_user;      // the client's; empty: the name of who runs the program
  std::string certificates;  // a folder: ca-cert.pem, ca-crl.pem; client-cert.pem and
                             // client-key.pem, of a server server-cert.pem and server-key.pem
  // A client's, each a PEM file of its own, instead of the folder; empty: none.
  std::string authorities_file;
  std::string certificate_file;  // these two together
  std::string key_file;
  std::string hostname;     // what the server's certificate must name; default: the URI's host
  bool verify_peer = true;  // client: the server's certificate; server: demand the client's
  std::string priority;     // GnuTLS's own syntax, instead of ours
};

/// What came out of a handshake, for info, status and the log.
struct TlsReport {
  std::string version;   // "TLS1.3"
  std::string cipher;    // "AES-128-GCM"
  std::string exchange;  // "ECDHE-PSK"; with certificates "ECDHE", in TLS 1.2 "ECDHE-RSA"
  std::string peer;      // the PSK's user, or the certificate's subject; empty: anonymous
};

/// Keys and policy, checked and loaded. Constant; shared by all threads.
class TlsCredentials {
 public:
  enum class Side { client, server };

  /// Reads the files. A client with a PSK file is known by its key, else by its certificate if it
  /// has one, and trusts the CAs it was given or this system's; a server may have both kinds.
  /// Throws Failure (usage, refused) that names the file and what is wrong with it: absent,
  /// readable by others, no such user, expired, not a key.
  TlsCredentials(Side side, const TlsSettings& settings);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  const TlsSettings& settings() const;

  struct State;  // hides GnuTLS from everybody but client/transport/tls*
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

class TlsTransport;

class TlsStream final : public Stream {
 public:
  /// The lower stream outlives it and is used by nobody else from here on.
  TlsStream(Loop& loop, Stream& lower, const TlsCredentials& credentials);
  ~TlsStream() override;

  /// Once, first. Ends when both sides are sure of each other; throws Failure (refused: the peer's
  /// or our keys; unreachable: the peer has gone) that says which certificate, which name, which
  /// user. The caller bounds its time by a StreamDeadline on the lower stream.
  Task<void> shake_hands();

  TlsReport report() const;

  /// After receive() ended: why, one clause that begins with who did it; empty where there is
  /// nothing to say. With TLS 1.3 a server looks at the client's certificate only after our
  /// handshake has succeeded: its refusal is an end at the first receive(), and this says so.
  std::string why_ended() const;

  // receive(): 0 only after the peer's goodbye (close_notify) or our own shut_down(); a connection
  // that ends without it was cut off, -ECONNRESET. What is no valid TLS: -EBADMSG, -EPROTO; an
  // alert: -ECONNABORTED.
  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override;
  Operation writable() override;
  /// Says goodbye (close_notify) as far as the lower stream takes it, and shuts that down.
  void shut_down() noexcept override;
  void move_to(Loop& loop) noexcept override;

  FramePool& frames() { return loop_->frames(); }

 private:
  void send_alert(int result);
  Task<bool> send_handshake();

  Loop* loop_;
  Stream& lower_;
  std::unique_ptr<TlsTransport> transport_;
  std::size_t unreported_ = 0;  // bytes that are encrypted and not reported as sent
  std::uint64_t received_ = 0;  // bytes, after the handshake
  bool has_shaken_hands_ = false;
  bool said_goodbye_ = false;
};

}  // namespace nbdring
