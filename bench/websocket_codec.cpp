// What unmasking costs: frames of one size from memory to memory through the decoder, beside
// memcpy, the decoder's way without AVX2, and libwslay. bench/websocket-codec builds and runs it.
//
// Every round runs every way once, so that a machine that gets slower meets all of them; a figure
// is the median of the rounds.

#include <wslay/wslay.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "backends/websocket/frame_decoder.hpp"
#include "backends/websocket/frame_encoder.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;
using websocket::FrameDecoder;

constexpr std::size_t batch_bytes = 64 << 20;  // of payload, in one measurement
constexpr int rounds = 15;

Bytes masked_frame(std::size_t payload_bytes) {
  websocket::FrameEncoder encoder(WebsocketRole::client);
  const websocket::FrameHeader header = encoder.begin_message(payload_bytes);
  Bytes frame(header.span().begin(), header.span().end());
  frame.resize(header.size + payload_bytes);
  for (std::size_t i = 0; i < payload_bytes; ++i) {
    const auto value = static_cast<std::byte>(i * 131);
    encoder.mask().copy(frame.data() + header.size + i, &value, 1);
  }
  return frame;
}

struct Memory {
  explicit Memory(std::size_t payload_bytes)
      : frame(masked_frame(payload_bytes)), to(payload_bytes) {}
  Bytes frame;
  Bytes to;
};

void copy_only(Memory& memory, std::size_t frames) {
  const std::size_t header = memory.frame.size() - memory.to.size();
  for (std::size_t i = 0; i < frames; ++i) {
    std::memcpy(memory.to.data(), memory.frame.data() + header, memory.to.size());
    asm volatile("" : : "r"(memory.to.data()) : "memory");
  }
}

void decode_copying(Memory& memory, std::size_t frames) {
  FrameDecoder decoder(WebsocketRole::server);
  for (std::size_t i = 0; i < frames; ++i) {
    std::span<const std::byte> input(memory.frame);
    ENSURE(decoder.decode(input) == FrameDecoder::Event::payload);
    ENSURE(decoder.copy_payload(input, memory.to) == memory.to.size());
  }
}

// The payload as if it had been received to its place.
void decode_in_place(Memory& memory, std::size_t frames) {
  FrameDecoder decoder(WebsocketRole::server);
  const std::size_t header = memory.frame.size() - memory.to.size();
  for (std::size_t i = 0; i < frames; ++i) {
    std::span<const std::byte> input = std::span(memory.frame).first(header);
    ENSURE(decoder.decode(input) == FrameDecoder::Event::more);
    decoder.unmask_in_place(memory.to);
  }
}

void words_only(Memory& memory, std::size_t frames) {
  const std::size_t header = memory.frame.size() - memory.to.size();
  MaskKey key;
  std::memcpy(key.data(), memory.frame.data() + header - key.size(), key.size());
  for (std::size_t i = 0; i < frames; ++i) {
    mask_copy_words(memory.to.data(), memory.frame.data() + header, memory.to.size(), key);
    asm volatile("" : : "r"(memory.to.data()) : "memory");
  }
}

struct WslayInput {
  std::span<const std::byte> left;
};

ssize_t give_wslay(std::uint8_t* buffer, std::size_t size, int, void* user) {
  auto& input = *static_cast<WslayInput*>(user);
  const std::size_t count = std::min(size, input.left.size());
  std::memcpy(buffer, input.left.data(), count);
  input.left = input.left.subspan(count);
  return count > 0 ? static_cast<ssize_t>(count) : -1;
}

void decode_by_wslay(Memory& memory, std::size_t frames) {
  WslayInput input;
  const wslay_frame_callbacks callbacks{nullptr, give_wslay, nullptr};
  wslay_frame_context_ptr context = nullptr;
  ENSURE(wslay_frame_context_init(&context, &callbacks, &input) == 0);
  for (std::size_t i = 0; i < frames; ++i) {
    input.left = memory.frame;
    std::size_t have = 0;
    while (have < memory.to.size()) {
      wslay_frame_iocb part{};
      const ssize_t bytes = wslay_frame_recv(context, &part);
      ENSURE(bytes > 0);
      std::memcpy(memory.to.data() + have, part.data, part.data_length);
      have += part.data_length;
    }
  }
  wslay_frame_context_free(context);
}

struct Way {
  const char* name;
  void (*run)(Memory&, std::size_t);
  std::vector<double> rates;  // GB/s
};

double rate(const Way& way, Memory& memory) {
  const std::size_t frames = std::max<std::size_t>(1, batch_bytes / memory.to.size());
  const auto began = Clock::now();
  way.run(memory, frames);
  const std::chrono::duration<double> took = Clock::now() - began;
  return static_cast<double>(frames * memory.to.size()) / took.count() / 1e9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(std::size_t payload_bytes) {
  Memory memory(payload_bytes);
  std::vector<Way> ways{{"memcpy", copy_only, {}},
                        {"nbdring, unmasked in the copy", decode_copying, {}},
                        {"nbdring, unmasked in place", decode_in_place, {}},
                        {"nbdring without AVX2", words_only, {}},
                        {"libwslay", decode_by_wslay, {}}};
  for (int round = 0; round < rounds; ++round) {
    for (Way& way : ways) way.rates.push_back(rate(way, memory));
  }
  std::printf("\n%zu KiB frames, masked                    GB/s   of memcpy\n",
              payload_bytes >> 10);
  const double copy = median(ways[0].rates);
  for (const Way& way : ways) {
    const double value = median(way.rates);
    std::printf("  %-36s %8.2f   %8.2f\n", way.name, value, value / copy);
  }
}

}  // namespace
}  // namespace nbdring

int main() {
  for (const std::size_t bytes : {4 << 10, 64 << 10, 128 << 10, 1 << 20}) nbdring::measure(bytes);
  return 0;
}
