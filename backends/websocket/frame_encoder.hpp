#pragma once
// Headers of a websocket's frames and whole control frames, as our end of it has to write them: a
// client's are masked, each with a key of its own that nobody can foresee (RFC 6455, 5.3). Pure but
// for the keys, which are the kernel's random bytes: 64 keys at a time, for up to 256 bytes
// getrandom(2) always gives what was asked for.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backends/websocket/frames.hpp"
#include "backends/websocket/mask.hpp"
#include "backends/websocket/role.hpp"

namespace nbdring::websocket {

class MaskKeys {
 public:
  MaskKey next() noexcept;

 private:
  std::array<MaskKey, 64> keys_;
  std::size_t used_ = 64;
};

struct FrameHeader {
  std::array<std::byte, header_max> bytes;
  std::size_t size = 0;

  std::span<const std::byte> span() const { return {bytes.data(), size}; }
};

class FrameEncoder {
 public:
  explicit FrameEncoder(WebsocketRole role) : masks_(role == WebsocketRole::client) {}

  /// A message of one frame: its header. A client's payload goes through mask() next.
  FrameHeader begin_message(std::uint64_t payload_bytes) noexcept;
  Mask& mask() { return mask_; }

  // Whole frames, appended to what `to` holds so many bytes of. They fit: control_frame_max each.
  void ping(std::span<const std::byte> payload, std::span<std::byte> to,
            std::size_t& used) noexcept;
  void pong(std::span<const std::byte> payload, std::span<std::byte> to,
            std::size_t& used) noexcept;
  /// code: close_none for a frame without one. The reason is cut to what fits.
  void close(std::uint16_t code, std::string_view reason, std::span<std::byte> to,
             std::size_t& used) noexcept;

 private:
  FrameHeader begin(Opcode opcode, std::uint64_t payload_bytes) noexcept;
  void control(Opcode opcode, std::span<const std::byte> payload, std::span<std::byte> to,
               std::size_t& used) noexcept;

  const bool masks_;
  MaskKeys keys_;
  Mask mask_;
};

}  // namespace nbdring::websocket
