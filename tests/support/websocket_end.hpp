#pragma once
// A WebsocketStream over one end of a socketpair, and the other end for the test: frames by hand.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/websocket/stream.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/websocket_wire.hpp"

namespace nbdring {

using std::chrono::milliseconds;

/// Keeps a loop running for so long.
inline Task<void> wait_in(Loop& loop, milliseconds time) { co_await loop.sleep(time); }
inline void run_for(Loop& loop, milliseconds time) { loop.run(wait_in(loop, time)); }

class WebsocketEnd {
 public:
  explicit WebsocketEnd(WebsocketRole role = WebsocketRole::server,
                        const WebsocketOptions& options = {}, std::span<const std::byte> early = {})
      : far(std::move(sockets_.far)), role_(role) {
    auto socket = std::make_unique<CountedSocket>(loop, std::move(sockets_.near));
    lower = socket.get();
    stream.emplace(loop, std::move(socket), role, early, options);
    stream->set_watch([this](const WebsocketStream::Ending& ending) { endings.push_back(ending); });
  }

  /// As the peer.
  void say(const WireBytes& bytes) const {
    std::size_t said = 0;
    while (said < bytes.size()) {
      const ssize_t result =
          ::send(far.get(), bytes.data() + said, bytes.size() - said, MSG_DONTWAIT | MSG_NOSIGNAL);
      ASSERT_GT(result, 0) << "the test says more than fits";
      said += static_cast<std::size_t>(result);
    }
  }
  void say(WireFrame frame) const {
    frame.masked = role_ == WebsocketRole::server;
    say(wire_frame(frame));
  }
  void say(unsigned opcode, std::string_view payload = "") const {
    WireFrame frame;
    frame.opcode = opcode;
    frame.payload = wire_text(payload);
    say(frame);
  }

  /// What has come to the peer, whole frames; the rest stays for the next call.
  std::vector<WireFrame> heard() {
    std::array<std::byte, 65536> bytes;
    for (;;) {
      const ssize_t result = ::recv(far.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      is_over = result == 0;
      if (result <= 0) break;
      raw_.insert(raw_.end(), bytes.begin(), bytes.begin() + result);
    }
    std::vector<WireFrame> frames;
    while (std::optional<WireFrame> frame = take_wire_frame(raw_)) {
      EXPECT_EQ(frame->masked, role_ == WebsocketRole::client);
      frames.push_back(std::move(*frame));
    }
    return frames;
  }
  /// As "opcode:payload" each.
  std::string heard_text() {
    std::string text;
    for (const WireFrame& frame : heard()) {
      text +=
          std::to_string(frame.opcode) + ":" +
          std::string(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()) +
          " ";
    }
    return text;
  }

  ssize_t receive(std::span<std::byte> bytes) {
    std::array<iovec, 1> buffer{iovec{bytes.data(), bytes.size()}};
    return stream->receive(buffer);
  }
  /// What there is, at most 4096 bytes, or "-errno".
  std::string receive_text() {
    std::array<std::byte, 4096> bytes;
    const ssize_t result = receive(bytes);
    if (result < 0) return "-" + std::to_string(-result);
    return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(result)};
  }
  ssize_t send(std::span<const std::byte> bytes) {
    std::array<iovec, 1> buffer{iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
    return stream->send(buffer);
  }
  ssize_t send(std::string_view text) { return send(std::as_bytes(std::span(text))); }

  Loop loop;

 private:
  /// A socket of its own, whose calls are counted.
  struct CountedSocket final : public Stream {
    CountedSocket(Loop& on, FileDescriptor socket) : socket_(on, std::move(socket)) {}
    ssize_t receive(std::span<iovec> buffers) noexcept override {
      ++receives;
      return socket_.receive(buffers);
    }
    ssize_t send(std::span<iovec> buffers) noexcept override {
      ++sends;
      return socket_.send(buffers);
    }
    Operation readable() override { return socket_.readable(); }
    Operation writable() override { return socket_.writable(); }
    void shut_down() noexcept override { socket_.shut_down(); }
    void move_to(Loop& to) noexcept override { socket_.move_to(to); }
    void end_sending() noexcept override { socket_.end_sending(); }
    void reset() noexcept override { socket_.reset(); }
    bool is_local() const noexcept override { return socket_.is_local(); }

    std::size_t receives = 0;
    std::size_t sends = 0;

   private:
    SocketStream socket_;
  };

  SocketPair sockets_;

 public:
  FileDescriptor far;
  std::optional<WebsocketStream> stream;
  CountedSocket* lower = nullptr;
  std::vector<WebsocketStream::Ending> endings;
  bool is_over = false;  // the peer has seen our end

 private:
  WebsocketRole role_;
  WireBytes raw_;
};

}  // namespace nbdring
