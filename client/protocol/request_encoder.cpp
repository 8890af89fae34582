#include "client/protocol/request_encoder.hpp"

#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {

EncodedRequest encode_request(Command command, std::uint16_t flags, std::uint64_t cookie,
                              std::uint64_t offset, std::uint64_t length, bool extended) noexcept {
  EncodedRequest encoded;
  const auto number = static_cast<std::uint16_t>(command);
  if (extended) {
    // What a WRITE's length means is said by a flag, because other commands may have a payload too.
    if (command == Command::write) flags |= nbd::cmd_flag_payload_len;
    const nbd::ExtendedRequestHeader header{
        nbd::extended_request_magic, flags, number, cookie, offset, length};
    std::memcpy(encoded.bytes.data(), &header, sizeof header);
    encoded.size = sizeof header;
    return encoded;
  }
  ENSURE(length <= UINT32_MAX);
  const nbd::RequestHeader header{
      nbd::request_magic, flags, number, cookie, offset, static_cast<std::uint32_t>(length)};
  std::memcpy(encoded.bytes.data(), &header, sizeof header);
  encoded.size = sizeof header;
  return encoded;
}

}  // namespace nbdring
