#pragma once
// The values of options: text in, checked value out. Each failure is a Failure (usage) of one line
// that names the option, the value and what would be right.

#include <cstdint>
#include <string>
#include <string_view>

#include "client/protocol/tls_policy.hpp"
#include "client/transport/tls.hpp"

namespace nbdring {

/// A whole decimal number from least to most.
std::uint64_t parse_number(std::string_view option, std::string_view value, std::uint64_t least,
                           std::uint64_t most);

/// A power of two from 512 to 4096, in bytes.
std::uint32_t parse_block_size(std::string_view option, std::string_view value);

/// Where a server listens: "HOST:PORT", "[IPV6]:PORT". Port 0: a free one.
struct TcpEndpoint {
  std::string host;
  std::uint16_t port = 0;
};
TcpEndpoint parse_endpoint(std::string_view option, std::string_view value);

/// A name for a device: 1 to 64 letters, digits, '.', '_', '-'; does not begin with '-' and cannot
/// be taken for a device.
std::string parse_name(std::string_view option, std::string_view value);

/// An identity: 1 to 1024 printable bytes (the driver shows it in one line of sysfs).
std::string parse_id(std::string_view option, std::string_view value);

/// off, allow or require.
TlsPolicy parse_tls_policy(std::string_view option, std::string_view value);

/// A server's options for TLS belong together.
void check_serve_tls(const TlsSettings& tls);

}  // namespace nbdring
