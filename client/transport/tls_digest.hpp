#pragma once
// What a websocket's handshake needs of cryptography (RFC 6455, section 4): a digest that proves
// nothing but that the other side speaks the protocol, and bytes that nobody can guess. Any thread.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace nbdring {

/// SHA-1 of the text, in base64. For Sec-WebSocket-Accept only: SHA-1 protects nothing any more.
std::string sha1_base64(std::string_view text);

/// Base64 with padding (RFC 4648, section 4).
std::string to_base64(std::span<const std::byte> bytes);

/// From the system's generator, by way of GnuTLS. Throws Failure (failed).
void fill_unpredictable(std::span<std::byte> bytes);

}  // namespace nbdring
