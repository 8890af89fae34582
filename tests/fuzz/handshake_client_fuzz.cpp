// Any bytes from a server, whole and in pieces, and our own server's bytes with some of them
// changed: the same answer however they arrive, nothing but STARTTLS and ABORT in clear where TLS
// is required, and never more held or sent than the limits say.

#include "client/protocol/handshake_client.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "client/protocol/handshake_server.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

using State = ClientHandshake::State;
using Bytes = std::span<const std::byte>;

constexpr ClientHandshakeLimits limits{5, 8, 4, 3, 600, 4000};

struct Outcome {
  std::size_t consumed = 0;
  std::vector<std::byte> output;
  State state = State::more;
  std::string reason;
  bool encrypted = false;
  std::uint64_t size = 0;
  std::size_t exports = 0;
  bool operator==(const Outcome&) const = default;
};

// The flags, then whole options; before TLS only those that tell nobody anything.
void check_output(Bytes output, bool has_flags, bool may_speak) {
  if (has_flags) output = output.subspan(sizeof(Be32));
  while (!output.empty()) {
    if (read_struct<Be32>(output) == nbd::request_magic) {
      ENSURE(may_speak && output.size() == sizeof(nbd::RequestHeader));
      return;
    }
    const auto header = read_struct<nbd::OptionHeader>(output);
    ENSURE(header.magic == nbd::ihaveopt);
    ENSURE(may_speak || header.option == nbd::opt_starttls || header.option == nbd::opt_abort);
    output = output.subspan(sizeof header + header.length);
  }
}

void check_end(const ClientHandshake& handshake) {
  const State state = handshake.state();
  ENSURE((state == State::failed) == !handshake.reason().empty());
  ENSURE((handshake.wanted() == 0) == (state != State::more));
  ENSURE(handshake.wanted() <= limits.reply_bytes_max);
  ENSURE(handshake.reason().size() < 1000);
  ENSURE(handshake.exports().size() <= limits.exports_max);
  if (state == State::transmission) ENSURE(broken_rule(handshake.about()) == nullptr);
  for (const char c : handshake.reason()) ENSURE(static_cast<unsigned char>(c) >= 0x20);
}

// What a step of the client sends; TLS, if it comes to that, is taken to work.
std::vector<std::byte> take(ClientHandshake& handshake, Bytes piece,
                            const ClientHandshakeOptions& options, Outcome& outcome) {
  const bool is_first = outcome.output.empty();
  const bool may_speak = options.tls != TlsPolicy::require || handshake.is_encrypted();
  auto step = handshake.feed(piece);
  check_output(step.output, is_first && !step.output.empty(), may_speak);
  outcome.consumed += step.consumed;
  auto output = step.output;
  if (step.state == State::start_tls) {
    ENSURE(options.tls != TlsPolicy::off && !handshake.is_encrypted());
    step = handshake.tls_started();
    output.insert(output.end(), step.output.begin(), step.output.end());
  }
  ENSURE(output.size() <= (step.consumed / 10 + 4) * 200);
  outcome.output.insert(outcome.output.end(), output.begin(), output.end());
  return output;
}

void finish(ClientHandshake& handshake, Outcome& outcome) {
  outcome.state = handshake.state();
  check_end(handshake);
  if (outcome.state == State::more) handshake.stream_ended();
  check_end(handshake);
  outcome.reason = handshake.reason();
  outcome.encrypted = handshake.is_encrypted();
  outcome.size = handshake.about().size;
  outcome.exports = handshake.exports().size();
}

template <typename NextPiece>
Outcome run(const ClientHandshakeOptions& options, Bytes input, NextPiece next_piece) {
  ClientHandshake handshake(options, limits);
  Outcome outcome;
  while (handshake.state() == State::more && outcome.consumed < input.size()) {
    const std::size_t left = input.size() - outcome.consumed;
    const std::size_t size = std::clamp<std::size_t>(next_piece(handshake), 1, left);
    take(handshake, input.subspan(outcome.consumed, size), options, outcome);
  }
  finish(handshake, outcome);
  return outcome;
}

// Our server answers, and each input byte that is not 0 changes a byte on its way to the client.
void run_against_server(const ClientHandshakeOptions& options, TlsPolicy policy, FuzzInput& input) {
  Export about;
  about.name = "disk";
  about.size = 1 << 20;
  ServerHandshake server(about, HandshakeLimits{20, 100'000}, policy);
  ClientHandshake client(options, limits);
  Outcome outcome;
  auto to_client = server.greeting();
  while (client.state() == State::more && !to_client.empty()) {
    for (auto& byte : to_client) byte ^= input.take<std::byte>();
    const auto to_server = take(client, to_client, options, outcome);
    to_client.clear();
    for (Bytes rest = to_server; server.state() == ServerHandshake::State::more && !rest.empty();) {
      const auto step = server.feed(rest);
      rest = rest.subspan(step.consumed);
      to_client.insert(to_client.end(), step.output.begin(), step.output.end());
      if (step.state == ServerHandshake::State::start_tls) server.tls_started();
    }
  }
  finish(client, outcome);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const auto kind = input.take<std::uint8_t>();
  ClientHandshakeOptions options;
  options.goal = static_cast<ClientHandshakeOptions::Goal>(kind % 3);
  options.tls = static_cast<TlsPolicy>(kind / 3 % 3);
  options.export_name = "disk";
  if (kind >= 128) {
    run_against_server(options, static_cast<TlsPolicy>(kind / 9 % 3), input);
    return 0;
  }
  const Bytes bytes = input.rest();
  std::minstd_rand random(static_cast<unsigned>(size));
  const Outcome whole = run(options, bytes, [&](const auto&) { return bytes.size(); });
  ENSURE(whole == run(options, bytes, [&](const auto&) { return random() % 40; }));
  ENSURE(whole == run(options, bytes, [](const auto& handshake) { return handshake.wanted(); }));
  return 0;
}

}  // namespace nbdring
