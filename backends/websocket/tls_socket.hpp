#pragma once
// TLS and the stream below it as one owner: what a websocket's lower stream has to be where there
// is TLS from the first byte (wss, https). One loop's thread, as every stream over a stream.

#include <memory>
#include <utility>

#include "client/transport/tls.hpp"

namespace nbdring {

class TlsSocket final : public Stream {
 public:
  /// The credentials outlive it.
  TlsSocket(Loop& loop, std::unique_ptr<Stream> lower, const TlsCredentials& credentials)
      : lower_(std::move(lower)), tls_(loop, *lower_, credentials) {}

  /// Once, first; see TlsStream. The caller bounds its time by a StreamDeadline on this stream.
  Task<void> shake_hands() { return tls_.shake_hands(); }
  TlsReport report() const { return tls_.report(); }
  std::string why_ended() const { return tls_.why_ended(); }

  ssize_t receive(std::span<iovec> buffers) noexcept override { return tls_.receive(buffers); }
  ssize_t send(std::span<iovec> buffers) noexcept override { return tls_.send(buffers); }
  Operation readable() override { return tls_.readable(); }
  Operation writable() override { return tls_.writable(); }
  void shut_down() noexcept override { tls_.shut_down(); }
  void reset() noexcept override { lower_->reset(); }
  void move_to(Loop& loop) noexcept override { tls_.move_to(loop); }

 private:
  std::unique_ptr<Stream> lower_;
  TlsStream tls_;  // after the one below it
};

}  // namespace nbdring
