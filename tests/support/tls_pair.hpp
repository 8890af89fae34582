#pragma once
// Both ends of a TLS connection in one loop, over a socketpair that gives and takes as many bytes
// at a time as the test says.

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "client/transport/socket.hpp"
#include "client/transport/tls.hpp"
#include "tests/support/fixtures.hpp"

namespace nbdring {

/// A stream that is cut into pieces.
class PieceStream final : public Stream {
 public:
  PieceStream(Stream& lower, std::size_t piece) : lower_(lower), piece_(piece) {}

  ssize_t receive(std::span<iovec> buffers) noexcept override {
    ++receives;
    std::array<iovec, 1> cut = first_of(buffers);
    return lower_.receive(cut);
  }
  ssize_t send(std::span<iovec> buffers) noexcept override {
    ++sends;
    std::array<iovec, 1> cut = first_of(buffers);
    return lower_.send(cut);
  }
  Operation readable() override { return lower_.readable(); }
  Operation writable() override { return lower_.writable(); }
  void shut_down() noexcept override { lower_.shut_down(); }
  void move_to(Loop& loop) noexcept override { lower_.move_to(loop); }

  std::size_t receives = 0;
  std::size_t sends = 0;

 private:
  std::array<iovec, 1> first_of(std::span<iovec> buffers) const {
    return {iovec{buffers[0].iov_base, std::min(buffers[0].iov_len, piece_)}};
  }

  Stream& lower_;
  std::size_t piece_;
};

class TlsPair {
 public:
  TlsPair(const TlsCredentials& client_keys, const TlsCredentials& server_keys,
          std::size_t piece = SIZE_MAX)
      : client_socket(loop, std::move(sockets_.near)),
        server_socket(loop, std::move(sockets_.far)),
        client_pieces(client_socket, piece),
        server_pieces(server_socket, piece),
        client(loop, client_pieces, client_keys),
        server(loop, server_pieces, server_keys) {}

  /// Both handshakes at once; what each failed with, or nothing.
  void shake_hands() {
    Scope scope(loop.frames());
    loop.run(shake_both(scope));
  }

  Loop loop;

 private:
  Task<void> shake_both(Scope& scope) {
    scope.spawn(shake(scope, client, client_socket, client_failure));
    scope.spawn(shake(scope, server, server_socket, server_failure));
    co_await scope.join();
  }
  static Task<void> shake(Scope&, TlsStream& stream, Stream& socket,
                          std::optional<Failure>& failure) {
    try {
      co_await stream.shake_hands();
    } catch (const Failure& thrown) {
      failure.emplace(thrown);
      socket.shut_down();
    }
  }

  SocketPair sockets_;

 public:
  SocketStream client_socket, server_socket;
  PieceStream client_pieces, server_pieces;
  TlsStream client, server;
  std::optional<Failure> client_failure, server_failure;
};

}  // namespace nbdring
