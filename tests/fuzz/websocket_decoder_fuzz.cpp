// A peer that sends any bytes: the decoder hands out no more payload than came in, only whole
// control frames, says the same however the bytes are cut and wherever the payload goes, and what
// it says about a breach is something that may be sent. The input begins with the role; what
// follows is the peer's.

#include "backends/websocket/frame_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "backends/websocket/frame_encoder.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

using websocket::FrameDecoder;

struct Session {
  explicit Session(WebsocketRole role) : decoder(role) {}

  void hear(std::span<const std::byte> input) {
    for (;;) {
      switch (decoder.decode(input)) {
        case FrameDecoder::Event::more:
          ENSURE(input.empty());
          return;
        case FrameDecoder::Event::payload:
          take_payload(input);
          break;
        case FrameDecoder::Event::control:
          note_control();
          break;
        case FrameDecoder::Event::broken:
          if (!is_broken) said += "broken " + std::to_string(decoder.violation().code);
          is_broken = true;
          ENSURE(websocket::is_close_code(decoder.violation().code));
          return;
      }
    }
  }

  // By turns copied elsewhere, moved to the front of its own memory, and unmasked in place.
  void take_payload(std::span<const std::byte>& input) {
    ENSURE(!input.empty() && decoder.payload_left() > 0);
    const auto most =
        static_cast<std::size_t>(std::min<std::uint64_t>(decoder.payload_left(), input.size()));
    std::vector<std::byte> to(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(most));
    switch (turn++ % 3) {
      case 0:
        ENSURE(decoder.copy_payload(input, to) == most);
        break;
      case 1: {
        to.insert(to.begin(), 3, std::byte{0});
        std::span<const std::byte> from = std::span(to).subspan(3);
        ENSURE(decoder.copy_payload(from, to) == most);
        to.resize(most);
        input = input.subspan(most);
        break;
      }
      default:
        decoder.unmask_in_place(to);
        input = input.subspan(most);
        break;
    }
    payload.insert(payload.end(), to.begin(), to.end());
  }

  void note_control() {
    const auto control = decoder.control();
    ENSURE(control.size() <= websocket::control_payload_max);
    said += std::to_string(static_cast<unsigned>(decoder.opcode())) + ":";
    said.append(reinterpret_cast<const char*>(control.data()), control.size());
    if (decoder.opcode() != websocket::Opcode::close) return;
    const websocket::CloseFrame& close = decoder.close();
    ENSURE(close.code == websocket::close_none || websocket::is_close_code(close.code));
    ENSURE(websocket::is_utf8(std::as_bytes(std::span(close.reason))));
    // What we answer is a frame that our own decoder takes.
    websocket::FrameEncoder encoder(WebsocketRole::client);
    std::array<std::byte, websocket::control_frame_max> answer;
    std::size_t used = 0;
    encoder.close(close.code, close.reason, answer, used);
    FrameDecoder other(WebsocketRole::server);
    std::span<const std::byte> wire = std::span(answer).first(used);
    ENSURE(other.decode(wire) == FrameDecoder::Event::control);
    ENSURE(other.close().code == close.code && other.close().reason == close.reason);
  }

  FrameDecoder decoder;
  std::string said;
  std::vector<std::byte> payload;
  bool is_broken = false;
  unsigned turn = 0;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const auto role =
      input.take<std::uint8_t>() % 2 == 0 ? WebsocketRole::server : WebsocketRole::client;
  const std::span<const std::byte> bytes = input.rest();
  Session whole(role);
  whole.hear(bytes);
  ENSURE(whole.payload.size() <= bytes.size());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    Session session(role);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      session.hear(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    }
    ENSURE(session.said == whole.said && session.payload == whole.payload);
  }
  return 0;
}

}  // namespace nbdring
