// Two codecs and one conversation: what libwslay makes of it, ours must make of it too: the same
// payload, the same control frames, and the same code to close with. In both directions, and with
// breaches.
//
// The generator stays away from what only one of the two takes: text frames (we close with 1003),
// close frames of one byte, and reasons that end in the middle of a character. Those, and what
// wslay does not judge, are for Python's websockets.

#include <wslay/wslay.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "backends/websocket/frame_decoder.hpp"
#include "backends/websocket/frame_encoder.hpp"
#include "client/runtime/error.hpp"
#include "tests/oracles/websocket_oracle.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"
#include "tests/support/websocket_wire.hpp"

namespace nbdring {
namespace {

struct Heard {
  WireBytes payload;
  std::string controls;
  unsigned close_code = 0;  // said, or to be said because of a breach
  bool operator==(const Heard&) const = default;

  void control(unsigned opcode, std::span<const std::byte> bytes) {
    controls += std::to_string(opcode) + ":" +
                std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + " ";
  }
};

/// wslay's end: what it hears, and what it wants to send.
class Wslay {
 public:
  explicit Wslay(bool is_server) {
    const wslay_event_callbacks callbacks{receive, send, mask, start, payload, nullptr, message};
    const auto init = is_server ? wslay_event_context_server_init : wslay_event_context_client_init;
    ENSURE(init(&context_, &callbacks, this) == 0);
    wslay_event_config_set_no_buffering(context_, 1);
  }
  ~Wslay() { wslay_event_context_free(context_); }
  Wslay(const Wslay&) = delete;
  Wslay& operator=(const Wslay&) = delete;

  // At once: wslay 1.1.1 stops for ever where a piece ends within a header.
  Heard hear(std::span<const std::byte> bytes) {
    input_ = bytes;
    const bool is_broken = wslay_event_recv(context_) != 0;
    flush();
    WireBytes copy(output);
    while (const std::optional<WireFrame> frame = take_wire_frame(copy)) {
      if (frame->opcode != 8) continue;
      heard.close_code = frame->payload.size() < 2
                             ? unsigned{websocket::close_none}
                             : std::to_integer<unsigned>(frame->payload[0]) << 8 |
                                   std::to_integer<unsigned>(frame->payload[1]);
    }
    // What is wrong with a header it closes without a code.
    if (is_broken && heard.close_code == websocket::close_none) {
      heard.close_code = websocket::close_protocol_error;
    }
    return heard;
  }
  void say(unsigned opcode, std::span<const std::byte> bytes) {
    const wslay_event_msg message{static_cast<std::uint8_t>(opcode),
                                  reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                  bytes.size()};
    ENSURE(wslay_event_queue_msg(context_, &message) == 0);
  }
  void flush() {
    while (wslay_event_want_write(context_) && wslay_event_send(context_) == 0) continue;
  }

  Heard heard;
  WireBytes output;

 private:
  static Wslay& self(void* user) { return *static_cast<Wslay*>(user); }
  static ssize_t receive(wslay_event_context_ptr context, std::uint8_t* to, std::size_t size, int,
                         void* user) {
    std::span<const std::byte>& input = self(user).input_;
    const std::size_t count = std::min(size, input.size());
    if (count == 0) {
      wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
      return -1;
    }
    std::memcpy(to, input.data(), count);
    input = input.subspan(count);
    return static_cast<ssize_t>(count);
  }
  static ssize_t send(wslay_event_context_ptr, const std::uint8_t* bytes, std::size_t size, int,
                      void* user) {
    const auto* from = reinterpret_cast<const std::byte*>(bytes);
    self(user).output.insert(self(user).output.end(), from, from + size);
    return static_cast<ssize_t>(size);
  }
  static int mask(wslay_event_context_ptr, std::uint8_t* key, std::size_t size, void* user) {
    for (std::size_t i = 0; i < size; ++i) key[i] = self(user).next_key_ += 37;
    return 0;
  }
  static void start(wslay_event_context_ptr, const wslay_event_on_frame_recv_start_arg* frame,
                    void* user) {
    self(user).is_data_ = !wslay_is_ctrl_frame(frame->opcode);
  }
  static void payload(wslay_event_context_ptr, const wslay_event_on_frame_recv_chunk_arg* part,
                      void* user) {
    if (!self(user).is_data_) return;
    const auto* from = reinterpret_cast<const std::byte*>(part->data);
    WireBytes& into = self(user).heard.payload;
    into.insert(into.end(), from, from + part->data_length);
  }
  static void message(wslay_event_context_ptr, const wslay_event_on_msg_recv_arg* message,
                      void* user) {
    if (!wslay_is_ctrl_frame(message->opcode)) return;
    self(user).heard.control(
        message->opcode, {reinterpret_cast<const std::byte*>(message->msg), message->msg_length});
  }

  wslay_event_context_ptr context_ = nullptr;
  std::span<const std::byte> input_;
  bool is_data_ = false;
  std::uint8_t next_key_ = 0;
};

Heard hear_ours(WebsocketRole role, std::span<const std::byte> bytes, std::size_t piece_max) {
  websocket::FrameDecoder decoder(role);
  Heard heard;
  WireBytes to(5'000);
  while (!bytes.empty() && heard.close_code == 0) {
    std::span<const std::byte> input = bytes.first(std::min(piece_max, bytes.size()));
    bytes = bytes.subspan(input.size());
    auto event = decoder.decode(input);
    for (; event != websocket::FrameDecoder::Event::more; event = decoder.decode(input)) {
      if (event == websocket::FrameDecoder::Event::broken) {
        heard.close_code = decoder.violation().code;
        break;
      }
      if (event == websocket::FrameDecoder::Event::payload) {
        const std::size_t count = decoder.copy_payload(input, to);
        heard.payload.insert(heard.payload.end(), to.begin(),
                             to.begin() + static_cast<std::ptrdiff_t>(count));
        continue;
      }
      heard.control(static_cast<unsigned>(decoder.opcode()), decoder.control());
      if (decoder.opcode() != websocket::Opcode::close) continue;
      heard.close_code = decoder.close().code;
      break;
    }
  }
  return heard;
}

/// A peer that mostly keeps to the protocol.
class Speaker {
 public:
  Speaker(Random& random, bool masked, bool breaks)
      : random_(random), masked_(masked), breaks_(breaks) {}

  WireBytes speak(int frames) {
    for (int i = 0; i < frames; ++i) say(next_frame());
    if (random_.percent(30)) say_close();
    return bytes_;
  }

 private:
  WireFrame next_frame() {
    WireFrame frame;
    if (random_.percent(30)) {
      frame.opcode = random_.percent(50) ? 9 : 10;
      frame.payload = pattern(random_.next(), 0, random_.below(126));
    } else {
      constexpr std::array<std::size_t, 8> sizes{0, 1, 125, 126, 127, 65535, 65536, 66'000};
      frame.opcode = in_message_ ? 0 : 2;
      frame.fin = random_.percent(60);
      in_message_ = !frame.fin;
      frame.payload = pattern(random_.next(), 0,
                              random_.percent(80) ? random_.below(300) : random_.pick(sizes));
    }
    if (breaks_ && random_.percent(8)) breach(frame);
    return frame;
  }
  void breach(WireFrame& frame) {
    switch (random_.below(5)) {
      case 0:
        frame.reserved = static_cast<unsigned>(random_.between(1, 7));
        break;
      case 1:
        frame.opcode = static_cast<unsigned>(random_.percent(50) ? random_.between(3, 7)
                                                                 : random_.between(11, 15));
        break;
      case 2:
        if (frame.payload.size() < 126) frame.length_form = 2 + random_.percent(50);
        break;
      case 3:
        frame.length_claimed = random_.next() | std::uint64_t{1} << 63;
        break;
      default:
        frame.opcode = in_message_ ? 2 : 0;  // wrong wherever it comes next
        if (frame.opcode == 2 && frame.payload.empty()) frame.fin = false;
        break;
    }
  }
  void say_close() {
    WireFrame frame;
    frame.opcode = 8;
    constexpr std::array<unsigned, 7> codes{1000, 1001, 1003, 1011, 3000, 4000, 4999};
    if (random_.percent(80)) {
      const unsigned code = random_.pick(codes);
      frame.payload = {static_cast<std::byte>(code >> 8), static_cast<std::byte>(code)};
      if (random_.percent(50)) frame.payload.push_back(std::byte{'r'});
      if (breaks_ && random_.percent(20)) frame.payload.push_back(std::byte{0xff});
    }
    say(frame);
  }
  void say(WireFrame frame) {
    frame.masked = masked_;
    for (std::uint8_t& byte : frame.key) byte = static_cast<std::uint8_t>(random_.next());
    const WireBytes wire = wire_frame(frame);
    bytes_.insert(bytes_.end(), wire.begin(), wire.end());
  }

  Random& random_;
  const bool masked_;
  const bool breaks_;
  bool in_message_ = false;
  WireBytes bytes_;
};

bool agree(std::uint64_t seed, const char* what, const Heard& ours, const Heard& theirs) {
  if (ours == theirs) return true;
  std::printf("seed %llu, %s: payload %zu and %zu bytes, close %u and %u, controls %s\n",
              static_cast<unsigned long long>(seed), what, ours.payload.size(),
              theirs.payload.size(), ours.close_code, theirs.close_code,
              ours.controls == theirs.controls ? "equal" : "differ");
  return false;
}

// Somebody speaks to both.
bool try_hearing(std::uint64_t seed) {
  Random random(seed);
  const bool to_server = random.percent(50);
  Speaker speaker(random, to_server, random.percent(60));
  const WireBytes bytes = speaker.speak(static_cast<int>(1 + random.below(20)));
  const std::size_t piece = random.percent(50) ? SIZE_MAX : 1 + random.below(400);
  Wslay wslay(to_server);
  const Heard theirs = wslay.hear(bytes);
  const Heard ours =
      hear_ours(to_server ? WebsocketRole::server : WebsocketRole::client, bytes, piece);
  return agree(seed, "hearing", ours, theirs);
}

// We speak to wslay, and it speaks to us.
bool try_speaking(std::uint64_t seed) {
  Random random(seed);
  const bool from_client = random.percent(50);
  const WebsocketRole role = from_client ? WebsocketRole::client : WebsocketRole::server;
  const WebsocketRole other = from_client ? WebsocketRole::server : WebsocketRole::client;
  websocket::FrameEncoder encoder(role);
  Wslay ours_hears(from_client);  // wslay at the other end of our encoder
  Wslay wslay_speaks(from_client ? false : true);
  Heard said;
  WireBytes wire;
  for (std::uint64_t i = 0; i < 1 + random.below(12); ++i) {
    const bool is_ping = random.percent(30);
    const auto payload =
        pattern(random.next(), 0, is_ping ? random.below(126) : random.below(140'000));
    if (is_ping) {
      std::size_t used = wire.size();
      wire.resize(used + websocket::control_frame_max);
      encoder.ping(payload, wire, used);
      wire.resize(used);
      said.control(9, payload);
    } else {
      const websocket::FrameHeader header = encoder.begin_message(payload.size());
      wire.insert(wire.end(), header.span().begin(), header.span().end());
      WireBytes masked(payload);
      if (from_client) encoder.mask().copy(masked.data(), payload.data(), payload.size());
      wire.insert(wire.end(), masked.begin(), masked.end());
      said.payload.insert(said.payload.end(), payload.begin(), payload.end());
    }
    wslay_speaks.say(is_ping ? 9 : 2, payload);
    wslay_speaks.flush();
  }
  return agree(seed, "speaking", said, ours_hears.hear(wire)) &&
         agree(seed, "wslay speaking", hear_ours(other, wslay_speaks.output, SIZE_MAX), said);
}

}  // namespace

int compare_with_wslay(std::uint64_t seeds) {
  std::uint64_t wrong = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (!try_hearing(seed) || !try_speaking(seed)) ++wrong;
  }
  std::printf("%llu conversations, %llu where libwslay says otherwise\n",
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(wrong));
  return wrong == 0 ? 0 : 1;
}

}  // namespace nbdring
