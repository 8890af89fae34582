#include "backends/websocket/frame_decoder.hpp"

#include <algorithm>
#include <cstring>

#include "client/protocol/bytes.hpp"
#include "client/runtime/error.hpp"

namespace nbdring::websocket {
namespace {

constexpr std::size_t start_bytes = 2;

bool is_control(Opcode opcode) { return (static_cast<unsigned>(opcode) & control_bit) != 0; }

bool is_known(unsigned opcode) {
  return opcode <= static_cast<unsigned>(Opcode::binary) ||
         (opcode >= static_cast<unsigned>(Opcode::close) &&
          opcode <= static_cast<unsigned>(Opcode::pong));
}

}  // namespace

FrameDecoder::Event FrameDecoder::decode(std::span<const std::byte>& input) noexcept {
  for (;;) {
    switch (state_) {
      case State::payload:
        return input.empty() ? Event::more : Event::payload;
      case State::control:
        return take_control(input);
      case State::broken:
        return Event::broken;
      case State::header:
        break;
    }
    const std::size_t wanted = header_wanted();
    const std::size_t count = std::min(wanted - header_used_, input.size());
    if (count > 0) std::memcpy(header_.data() + header_used_, input.data(), count);
    header_used_ += count;
    input = input.subspan(count);
    if (header_used_ < wanted) return Event::more;
    // What the first two bytes say is judged before more of the frame is waited for.
    if (wanted == start_bytes && !check_start()) return Event::broken;
    if (header_used_ < header_wanted()) continue;
    const Event event = begin_frame();
    if (event != Event::more) return event;
  }
}

// As far as is known yet.
std::size_t FrameDecoder::header_wanted() const noexcept {
  if (header_used_ < start_bytes) return start_bytes;
  const auto second = std::to_integer<unsigned>(header_[1]);
  std::size_t wanted = start_bytes;
  if ((second & length_bits) == length_16) wanted += sizeof(Be16);
  if ((second & length_bits) == length_64) wanted += sizeof(Be64);
  if ((second & mask_bit) != 0) wanted += sizeof(MaskKey);
  return wanted;
}

bool FrameDecoder::check_start() noexcept {
  const auto first = std::to_integer<unsigned>(header_[0]);
  const auto second = std::to_integer<unsigned>(header_[1]);
  const auto wrong = [this](std::uint16_t code, std::string_view text) {
    broken(code, text);
    return false;
  };
  if ((first & reserved_bits) != 0) return wrong(close_protocol_error, "a reserved bit is set");
  if (!is_known(first & opcode_bits)) return wrong(close_protocol_error, "a reserved opcode");
  opcode_ = static_cast<Opcode>(first & opcode_bits);
  is_final_ = (first & fin_bit) != 0;
  const bool is_masked = (second & mask_bit) != 0;
  if (wants_mask_ && !is_masked)
    return wrong(close_protocol_error, "a client's frame without mask");
  if (!wants_mask_ && is_masked) return wrong(close_protocol_error, "a server's frame with a mask");
  if (is_control(opcode_)) {
    if (!is_final_) return wrong(close_protocol_error, "a control frame in fragments");
    if ((second & length_bits) > control_payload_max) {
      return wrong(close_protocol_error, "a control frame of more than 125 bytes");
    }
    return true;
  }
  if (opcode_ == Opcode::continuation && !in_message_) {
    return wrong(close_protocol_error, "a continuation of nothing");
  }
  if (opcode_ != Opcode::continuation && in_message_) {
    return wrong(close_protocol_error, "a message within a message");
  }
  if (opcode_ == Opcode::text) return wrong(close_unsupported, "text: only binary is understood");
  return true;
}

bool FrameDecoder::read_length() noexcept {
  const unsigned length = std::to_integer<unsigned>(header_[1]) & length_bits;
  const auto field = std::span<const std::byte>(header_).subspan(start_bytes);
  left_ = length;
  if (length == length_16) left_ = read_struct<Be16>(field);
  if (length == length_64) left_ = read_struct<Be64>(field);
  const bool is_short =
      (length == length_16 && left_ < length_16) || (length == length_64 && left_ <= UINT16_MAX);
  if (is_short) broken(close_protocol_error, "a length that is not in its shortest form");
  const bool is_huge = left_ > INT64_MAX;
  if (is_huge) broken(close_protocol_error, "a length with its highest bit set");
  return !is_short && !is_huge;
}

// The whole header is there. `more`: an empty data frame.
FrameDecoder::Event FrameDecoder::begin_frame() noexcept {
  if (!read_length()) return Event::broken;
  if (wants_mask_) {
    mask_ = Mask(read_struct<MaskKey>(
        std::span<const std::byte>(header_).subspan(header_used_ - sizeof(MaskKey))));
  }
  header_used_ = 0;
  if (is_control(opcode_)) {
    control_used_ = 0;
    state_ = State::control;
    return Event::more;
  }
  in_message_ = !is_final_;
  if (left_ > 0) state_ = State::payload;
  return Event::more;
}

FrameDecoder::Event FrameDecoder::take_control(std::span<const std::byte>& input) noexcept {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
  std::byte* to = control_.data() + control_used_;
  if (wants_mask_) {
    mask_.copy(to, input.data(), count);
  } else if (count > 0) {
    std::memcpy(to, input.data(), count);
  }
  control_used_ += count;
  left_ -= count;
  input = input.subspan(count);
  return left_ == 0 ? end_control() : Event::more;
}

FrameDecoder::Event FrameDecoder::end_control() noexcept {
  state_ = State::header;
  if (opcode_ != Opcode::close) return Event::control;
  const std::optional<Violation> violation = parse_close(control(), close_);
  return violation ? broken(violation->code, violation->text) : Event::control;
}

std::size_t FrameDecoder::copy_payload(std::span<const std::byte>& input,
                                       std::span<std::byte> to) noexcept {
  const std::size_t most = std::min(input.size(), to.size());
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left(), most));
  if (count == 0) return 0;
  if (wants_mask_) {
    mask_.copy(to.data(), input.data(), count);
  } else {
    std::memmove(to.data(), input.data(), count);
  }
  input = input.subspan(count);
  advance(count);
  return count;
}

void FrameDecoder::unmask_in_place(std::span<std::byte> payload) noexcept {
  ENSURE(payload.size() <= payload_left());
  if (wants_mask_) mask_.copy(payload.data(), payload.data(), payload.size());
  advance(payload.size());
}

void FrameDecoder::advance(std::size_t bytes) noexcept {
  left_ -= bytes;
  if (left_ == 0) state_ = State::header;
}

FrameDecoder::Event FrameDecoder::broken(std::uint16_t code, std::string_view text) noexcept {
  state_ = State::broken;
  violation_ = {code, text};
  return Event::broken;
}

}  // namespace nbdring::websocket
