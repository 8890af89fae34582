// Any bytes from a client, with every TLS policy, whole and in pieces: the same answer, nothing
// taken that belongs to the transmission phase, and never more held or sent than a small multiple
// of what came.

#include "client/protocol/handshake_server.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

using State = ServerHandshake::State;
using Bytes = std::span<const std::byte>;

struct Outcome {
  std::size_t consumed = 0;
  std::vector<std::byte> output;
  State state = State::more;
  std::string reason;
  bool structured = false;
  bool allocation = false;
  bool encrypted = false;
  std::string name;
  bool operator==(const Outcome&) const = default;
};

// The answer to an option of 16 bytes or more is never longer than this: INFO with a short name and
// description.
constexpr std::size_t answer_bytes_max = 256;

void feed(ServerHandshake& handshake, Bytes piece, Outcome& outcome) {
  const auto step = handshake.feed(piece);
  ENSURE(step.state == handshake.state());
  ENSURE((step.state == State::failed) == !step.reason.empty());
  ENSURE(step.output.size() <= (step.consumed / 16 + 2) * answer_bytes_max);
  ENSURE(handshake.wanted() <= nbd::option_bytes_max);
  ENSURE((handshake.wanted() == 0) == (step.state != State::more));
  if (step.state == State::start_tls) {
    ENSURE(!handshake.is_encrypted());
    handshake.tls_started();
    ENSURE(handshake.transmission().structured_replies == false);
  }
  outcome.consumed += step.consumed;
  outcome.output.insert(outcome.output.end(), step.output.begin(), step.output.end());
  outcome.state = handshake.state();
  outcome.reason = step.reason;
}

template <typename NextPiece>
Outcome run(const Export& about, TlsPolicy tls, Bytes input, NextPiece next_piece) {
  ServerHandshake handshake(about, HandshakeLimits{20, 100'000}, tls);
  Outcome outcome;
  while (outcome.state == State::more && outcome.consumed < input.size()) {
    const std::size_t left = input.size() - outcome.consumed;
    const std::size_t size = std::clamp<std::size_t>(next_piece(handshake), 1, left);
    feed(handshake, input.subspan(outcome.consumed, size), outcome);
  }
  outcome.structured = handshake.transmission().structured_replies;
  outcome.allocation = handshake.transmission().base_allocation;
  outcome.name = handshake.chosen_name();
  outcome.encrypted = handshake.is_encrypted();
  ENSURE(!outcome.allocation || outcome.structured);
  ENSURE(!outcome.encrypted || tls != TlsPolicy::off);
  ENSURE(outcome.encrypted || tls != TlsPolicy::require || outcome.state != State::transmission);
  ENSURE(outcome.name.empty() || outcome.name == about.name);
  return outcome;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  std::minstd_rand random(input.take<std::uint32_t>());
  const auto tls = static_cast<TlsPolicy>(random() % 3);
  Export about;
  about.name = "disk";
  about.description = "a disk";
  about.size = 1 << 20;

  const Bytes bytes = input.rest();
  const Outcome whole = run(about, tls, bytes, [&](const auto&) { return bytes.size(); });
  ENSURE(whole == run(about, tls, bytes, [&](const auto&) { return random() % 40; }));
  ENSURE(whole == run(about, tls, bytes, [](const auto& handshake) { return handshake.wanted(); }));
  return 0;
}

}  // namespace nbdring
