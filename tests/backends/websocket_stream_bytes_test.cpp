// Bytes through a websocket: whole, in order, in any pieces, over sockets, over TLS and over a
// simulated stream that says EAGAIN for no reason; and no memory asked for.

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "backends/websocket/stream.hpp"
#include "client/runtime/scope.hpp"
#include "tests/support/allocations.hpp"
#include "tests/support/borrowed_stream.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/simulated_stream.hpp"
#include "tests/support/tls_keys.hpp"
#include "tests/support/tls_pair.hpp"
#include "tests/support/websocket_wire.hpp"

namespace nbdring {
namespace {

// As a lane sends: a list of small and large buffers, from where the stream stopped.
Task<void> send_data(Scope&, Stream& stream, std::span<const std::byte> data) {
  std::size_t sent = 0;
  std::array<iovec, 90> buffers;
  while (sent < data.size()) {
    std::size_t used = 0;
    std::size_t length = 16;
    for (std::size_t at = sent; at < data.size() && used < buffers.size();
         length = length * 5 % 60'001) {
      const std::size_t count = std::min(length, data.size() - at);
      buffers[used++] = {const_cast<std::byte*>(data.data()) + at, count};
      at += count;
    }
    const ssize_t result = stream.send(std::span(buffers).first(used));
    if (result == -EAGAIN) {
      co_await stream.writable();
      continue;
    }
    ENSURE(result > 0);
    sent += static_cast<std::size_t>(result);
  }
}

Task<void> receive_data(Scope&, Stream& stream, std::span<std::byte> data) {
  std::size_t have = 0;
  while (have < data.size()) {
    const std::size_t first = std::min<std::size_t>(data.size() - have, 1 + have % 9'999);
    std::array<iovec, 2> buffers{iovec{data.data() + have, first},
                                 iovec{data.data() + have + first,
                                       std::min<std::size_t>(data.size() - have - first, 70'000)}};
    const ssize_t result = stream.receive(buffers);
    if (result == -EAGAIN) {
      co_await stream.readable();
      continue;
    }
    ENSURE(result > 0);
    have += static_cast<std::size_t>(result);
  }
}

/// Both ends of a websocket over two streams that are connected, and data both ways at once.
struct Exchange {
  Exchange(Loop& on, Stream& client_below, Stream& server_below, std::size_t bytes)
      : loop(on),
        client(on, std::make_unique<BorrowedStream>(client_below), WebsocketRole::client),
        server(on, std::make_unique<BorrowedStream>(server_below), WebsocketRole::server),
        said{pattern(1, 0, bytes), pattern(2, 0, bytes)},
        heard{std::vector<std::byte>(bytes), std::vector<std::byte>(bytes)} {}

  void run() {
    Scope scope(loop.frames());
    loop.run(run_all(scope));
    EXPECT_TRUE(heard[0] == said[0]);
    EXPECT_TRUE(heard[1] == said[1]);
  }

  std::uint64_t allocations = 0;

 private:
  Task<void> run_all(Scope& scope) {
    const std::uint64_t before = counted_allocations();
    count_allocations_of_this_thread(true);
    scope.spawn(send_data(scope, client, said[0]));
    scope.spawn(send_data(scope, server, said[1]));
    scope.spawn(receive_data(scope, server, heard[0]));
    scope.spawn(receive_data(scope, client, heard[1]));
    co_await scope.join();
    count_allocations_of_this_thread(false);
    allocations = counted_allocations() - before;
  }

  Loop& loop;
  WebsocketStream client, server;
  std::array<std::vector<std::byte>, 2> said, heard;
};

class WebsocketPieces : public testing::TestWithParam<std::pair<std::size_t, std::size_t>> {};

TEST_P(WebsocketPieces, CarryBytesBothWays) {
  const auto [piece, bytes] = GetParam();
  Loop loop;
  SocketPair sockets;
  SocketStream near(loop, std::move(sockets.near));
  SocketStream far(loop, std::move(sockets.far));
  PieceStream near_pieces(near, piece);
  PieceStream far_pieces(far, piece);
  Exchange exchange(loop, near_pieces, far_pieces, bytes);
  exchange.run();
  EXPECT_EQ(exchange.allocations, 0U);
}

TEST_P(WebsocketPieces, CarryBytesBothWaysOverTls) {
  const auto [piece, bytes] = GetParam();
  TlsKeys keys;
  TlsSettings settings;
  settings.psk_file = keys.write("keys.psk", "alice:00112233445566778899aabbccddeeff");
  settings.psk_user = "alice";
  const TlsCredentials client_keys(TlsCredentials::Side::client, settings);
  const TlsCredentials server_keys(TlsCredentials::Side::server, settings);
  TlsPair pair(client_keys, server_keys, piece);
  pair.shake_hands();
  ASSERT_FALSE(pair.client_failure || pair.server_failure);
  Exchange exchange(pair.loop, pair.client, pair.server, bytes);
  exchange.run();
}

INSTANTIATE_TEST_SUITE_P(Sizes, WebsocketPieces,
                         testing::Values(std::pair(1, 20'000), std::pair(2, 20'001),
                                         std::pair(5, 200'000), std::pair(1'000, 2'000'000),
                                         std::pair(131'086, 3'000'000),
                                         std::pair(SIZE_MAX, 10'000'000)));

/// A random peer of ours over a random stream: what it means to say is put down before it is cut,
/// and what it hears is taken apart by a reader that shares nothing with the codec.
struct Conversation {
  explicit Conversation(std::uint64_t seed)
      : random(seed),
        lower(loop, random, options(random)),
        ours(loop, std::make_unique<BorrowedStream>(lower), role, {}, timing()) {}

  static SimulatedStreamOptions options(Random& random) {
    SimulatedStreamOptions options;
    options.window_bytes = 500 + random.below(200'000);
    options.piece_bytes = random.percent(50) ? 0 : 100 + random.below(3000);
    options.again_percent = random.percent(50) ? 0 : 30;
    return options;
  }
  static WebsocketOptions timing() {
    WebsocketOptions timing;
    timing.control_frames_max = 10'000;
    return timing;
  }

  void run() {
    for (int i = 0; i < 150; ++i) step();
    for (int i = 0; !is_done() && i < 100'000; ++i) {
      lower.deliver(SIZE_MAX);
      receive_some();
      send_some();
      peer_hears(SIZE_MAX);
    }
    EXPECT_TRUE(received == said);
    EXPECT_TRUE(heard == to_send);
    EXPECT_FALSE(ours.ending());
  }

 private:
  bool is_done() const {
    return heard.size() == to_send.size() && received.size() == said.size() &&
           lower.in_transit() == 0;
  }

  void step() {
    switch (random.below(6)) {
      case 0:
        peer_says();
        break;
      case 1:
        lower.deliver(random.below(100'000));
        break;
      case 2:
        receive_some();
        break;
      case 3: {
        const auto more = pattern(9, to_send.size(), random.below(90'000));
        to_send.insert(to_send.end(), more.begin(), more.end());
        break;
      }
      case 4:
        send_some();
        break;
      default:
        peer_hears(random.below(150'000));
        break;
    }
  }

  void peer_says() {
    WireFrame frame;
    frame.masked = role == WebsocketRole::server;
    for (std::uint8_t& byte : frame.key) byte = static_cast<std::uint8_t>(random.next());
    if (random.percent(30)) {
      frame.opcode = random.percent(70) ? 9 : 10;
      frame.payload = pattern(3, random.below(1000), random.below(126));
      if (frame.opcode == 9) pings.push_back(frame.payload);
    } else {
      frame.opcode = in_message ? 0 : 2;
      frame.fin = random.percent(60);
      in_message = !frame.fin;
      frame.payload =
          pattern(4, said.size(), random.percent(50) ? random.below(200) : random.below(90'000));
      said.insert(said.end(), frame.payload.begin(), frame.payload.end());
    }
    lower.client_sends(wire_frame(frame));
  }

  void receive_some() {
    std::vector<std::byte> to(1 + random.below(40'000));
    const std::size_t first = random.below(to.size());
    std::array<iovec, 2> buffers{iovec{to.data(), first},
                                 iovec{to.data() + first, to.size() - first}};
    const ssize_t result = ours.receive(buffers);
    ASSERT_TRUE(result > 0 || result == -EAGAIN) << result;
    if (result > 0) received.insert(received.end(), to.begin(), to.begin() + result);
  }

  // After -EAGAIN with the same bytes, and more behind them as they come.
  void send_some() {
    const std::size_t most = random.percent(50) ? SIZE_MAX : 1 + random.below(30'000);
    offered = std::min(to_send.size() - sent, std::max(offered, most));
    if (offered == 0) return;
    std::vector<iovec> buffers;
    for (std::size_t at = 0; at < offered;) {
      const std::size_t count = std::min<std::size_t>(offered - at, 1 + random.below(20'000));
      buffers.push_back({to_send.data() + sent + at, count});
      at += count;
    }
    const ssize_t result = ours.send(buffers);
    if (result == -EAGAIN) return;
    ASSERT_GT(result, 0);
    sent += static_cast<std::size_t>(result);
    offered -= std::min(offered, static_cast<std::size_t>(result));
  }

  void peer_hears(std::size_t bytes) {
    const auto taken = lower.client_takes(bytes);
    raw.insert(raw.end(), taken.begin(), taken.end());
    while (std::optional<WireFrame> frame = take_wire_frame(raw)) {
      ASSERT_EQ(frame->masked, role == WebsocketRole::client);
      if (frame->opcode == 2) {
        heard.insert(heard.end(), frame->payload.begin(), frame->payload.end());
        continue;
      }
      ASSERT_EQ(frame->opcode, 10U);
      const auto answered = std::find(pings.begin(), pings.end(), frame->payload);
      ASSERT_NE(answered, pings.end()) << "a pong to nothing, or in the wrong order";
      pings.erase(pings.begin(), answered + 1);
    }
  }

  Random random;
  Loop loop;
  const WebsocketRole role = random.percent(50) ? WebsocketRole::client : WebsocketRole::server;
  SimulatedStream lower;
  WebsocketStream ours;
  bool in_message = false;
  std::vector<std::byte> said, received, to_send, heard;
  std::vector<WireBytes> pings;  // not answered yet
  WireBytes raw;
  std::size_t sent = 0;
  std::size_t offered = 0;
};

TEST(WebsocketConversation, NothingIsLostOrMixedUp) {
  for (std::uint64_t seed = 1; seed <= 150 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Conversation conversation(seed);
    conversation.run();
  }
}

}  // namespace
}  // namespace nbdring
