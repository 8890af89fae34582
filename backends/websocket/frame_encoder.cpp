#include "backends/websocket/frame_encoder.hpp"

#include <sys/random.h>

#include <cstring>

#include "client/protocol/bytes.hpp"
#include "client/runtime/error.hpp"

namespace nbdring::websocket {

MaskKey MaskKeys::next() noexcept {
  if (used_ == keys_.size()) {
    static_assert(sizeof keys_ <= 256);
    ENSURE(::getrandom(keys_.data(), sizeof keys_, 0) == sizeof keys_);
    used_ = 0;
  }
  return keys_[used_++];
}

FrameHeader FrameEncoder::begin(Opcode opcode, std::uint64_t payload_bytes) noexcept {
  FrameHeader header;
  const auto append = [&header](const auto& field) {
    std::memcpy(header.bytes.data() + header.size, &field, sizeof field);
    header.size += sizeof field;
  };
  const unsigned masked = masks_ ? mask_bit : 0;
  append(static_cast<std::byte>(fin_bit | static_cast<unsigned>(opcode)));
  if (payload_bytes < length_16) {
    append(static_cast<std::byte>(masked | static_cast<unsigned>(payload_bytes)));
  } else if (payload_bytes <= UINT16_MAX) {
    append(static_cast<std::byte>(masked | length_16));
    append(Be16(static_cast<std::uint16_t>(payload_bytes)));
  } else {
    append(static_cast<std::byte>(masked | length_64));
    append(Be64(payload_bytes));
  }
  if (masks_) {
    const MaskKey key = keys_.next();
    mask_ = Mask(key);
    append(key);
  }
  return header;
}

FrameHeader FrameEncoder::begin_message(std::uint64_t payload_bytes) noexcept {
  return begin(Opcode::binary, payload_bytes);
}

void FrameEncoder::control(Opcode opcode, std::span<const std::byte> payload,
                           std::span<std::byte> to, std::size_t& used) noexcept {
  const FrameHeader header = begin(opcode, payload.size());
  ENSURE(payload.size() <= control_payload_max);
  ENSURE(to.size() - used >= header.size + payload.size());
  std::memcpy(to.data() + used, header.bytes.data(), header.size);
  used += header.size;
  if (masks_) {
    mask_.copy(to.data() + used, payload.data(), payload.size());
  } else if (!payload.empty()) {
    std::memcpy(to.data() + used, payload.data(), payload.size());
  }
  used += payload.size();
}

void FrameEncoder::ping(std::span<const std::byte> payload, std::span<std::byte> to,
                        std::size_t& used) noexcept {
  control(Opcode::ping, payload, to, used);
}

void FrameEncoder::pong(std::span<const std::byte> payload, std::span<std::byte> to,
                        std::size_t& used) noexcept {
  control(Opcode::pong, payload, to, used);
}

void FrameEncoder::close(std::uint16_t code, std::string_view reason, std::span<std::byte> to,
                         std::size_t& used) noexcept {
  std::array<std::byte, control_payload_max> payload;
  std::size_t size = 0;
  if (code != close_none) {
    const Be16 wire(code);
    std::memcpy(payload.data(), &wire, sizeof wire);
    const std::string_view said = utf8_prefix(reason, reason_max);
    if (!said.empty()) std::memcpy(payload.data() + sizeof wire, said.data(), said.size());
    size = sizeof wire + said.size();
  }
  control(Opcode::close, std::span(payload).first(size), to, used);
}

}  // namespace nbdring::websocket
