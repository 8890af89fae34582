// A server that says anything, to requests of every kind: the decoder never writes outside of a
// request's memory, answers each request once, calls a READ answered only when every byte of it has
// come, and says the same however the bytes are cut. The input begins with the requests; what
// follows are the replies. Cookies are the requests' numbers, so that a mutation finds them.

#include "client/protocol/reply_decoder.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

constexpr std::size_t requests_max = 4;
constexpr std::size_t margin = 64;  // around each request's memory
constexpr std::byte untouched{0xa5};
constexpr std::uint32_t context = 1;

struct Session final : AwaitedReplies {
  explicit Session(FuzzInput& input) {
    const auto form = input.take<std::uint8_t>();
    transmission.structured_replies = form % 3 == 1;
    transmission.extended_headers = form % 3 == 2;
    transmission.base_allocation = form % 3 != 0;
    replies.resize(1 + input.take<std::uint8_t>() % requests_max);
    memory.resize(replies.size());
    extents.resize(replies.size());
    for (std::size_t i = 0; i < replies.size(); ++i) {
      constexpr std::array<Command, 5> commands{Command::read, Command::read, Command::write,
                                                Command::block_status, Command::flush};
      AwaitedReply& reply = replies[i];
      reply.cookie = cookie_of(i);
      reply.command = commands[input.take<std::uint8_t>() % commands.size()];
      const bool is_flush = reply.command == Command::flush;
      reply.offset = is_flush ? 0 : std::uint64_t{input.take<std::uint8_t>()} * 256;
      reply.length = is_flush ? 0 : 1 + input.take<std::uint16_t>() % 2048;
      extents[i].resize(1 + i);
      reply.extents = extents[i];
      reply.one_extent = i == 0;
      memory[i].assign(2 * margin + reply.length, untouched);
      if (reply.command == Command::read) {
        reply.data = std::span(memory[i]).subspan(margin, reply.length);
      }
    }
    answered.resize(replies.size());
  }

  AwaitedReply* find(std::uint64_t cookie) noexcept override {
    // Opaque: its bytes as they came, which are the number's, the highest first.
    const std::uint64_t index = read_struct<Be64>(std::as_bytes(std::span(&cookie, 1)));
    return index < replies.size() && !answered[index] ? &replies[index] : nullptr;
  }

  /// Feeds it in pieces; returns what happened.
  std::string run(std::span<const std::byte> input, std::size_t piece) {
    ReplyDecoder decoder(transmission, context, *this);
    std::string said;
    while (!input.empty()) {
      std::span<const std::byte> part = input.first(std::min(piece, input.size()));
      input = input.subspan(part.size());
      const std::span<std::byte> rest = decoder.data_rest();
      const std::size_t in_place = std::min(rest.size(), part.size() / 2);
      if (in_place > 0) {
        std::memcpy(rest.data(), part.data(), in_place);
        decoder.data_received(in_place);
        part = part.subspan(in_place);
      }
      ReplyDecoder::Event event = decoder.decode(part);
      while (event == ReplyDecoder::Event::answered) {
        note(decoder.answered(), said);
        event = decoder.decode(part);
      }
      if (event == ReplyDecoder::Event::broken) {
        check_memory();
        return said + describe(decoder.broken());
      }
      ENSURE(part.empty());
    }
    check_memory();
    return said;
  }

  static std::uint64_t cookie_of(std::uint64_t number) {
    const Be64 wire(number);
    std::uint64_t cookie = 0;
    std::memcpy(&cookie, &wire, sizeof cookie);
    return cookie;
  }

  void note(const AwaitedReply& reply, std::string& said) {
    const auto number = static_cast<std::size_t>(&reply - replies.data());
    ENSURE(!answered[number]);
    answered[number] = true;
    said += std::to_string(number) + ":" + std::to_string(reply.error) + " ";
    if (reply.error != 0) return;
    ENSURE(reply.command != Command::read || reply.covered.is_whole(reply.length));
    if (reply.command != Command::block_status) return;
    ENSURE(reply.extents_used > 0 && reply.extents_used <= extents[number].size());
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < reply.extents_used; ++i) {
      ENSURE(reply.extents[i].length > 0);
      length += reply.extents[i].length;
      said += std::to_string(reply.extents[i].flags);
    }
    ENSURE(length <= reply.length);
  }

  void check_memory() const {
    for (std::size_t i = 0; i < replies.size(); ++i) {
      for (std::size_t at = 0; at < margin; ++at) {
        ENSURE(memory[i][at] == untouched);
        ENSURE(memory[i][memory[i].size() - 1 - at] == untouched);
      }
    }
  }

  TransmissionOptions transmission;
  std::vector<AwaitedReply> replies;
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::vector<nbd::Extent>> extents;
  std::vector<bool> answered;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string said;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{29}, SIZE_MAX}) {
    FuzzInput input(data, size);
    Session session(input);
    const std::string now = session.run(input.rest(), piece);
    ENSURE(piece == 1 || now == said);
    said = now;
  }
  return 0;
}

}  // namespace nbdring
