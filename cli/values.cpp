#include "cli/values.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>

#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t id_bytes_max = 1024;

[[noreturn]] void fail(std::string_view option, std::string_view value, std::string_view right) {
  std::string text(option);
  text += ": '";
  text += value;
  text += "' is not ";
  text += right;
  throw Failure(FailureKind::usage, text);
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return number;
}

bool is_printable(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::uint64_t parse_number(std::string_view option, std::string_view value, std::uint64_t least,
                           std::uint64_t most) {
  ENSURE(least <= most);
  const auto number = whole_number(value);
  if (!number || *number < least || *number > most) {
    fail(option, value,
         "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return *number;
}

std::uint32_t parse_block_size(std::string_view option, std::string_view value) {
  const auto number = whole_number(value);
  if (!number || *number < 512 || *number > 4096 || !std::has_single_bit(*number)) {
    fail(option, value, "512, 1024, 2048 or 4096 (bytes)");
  }
  return static_cast<std::uint32_t>(*number);
}

TcpEndpoint parse_endpoint(std::string_view option, std::string_view value) {
  constexpr std::string_view right =
      "HOST:PORT; say 127.0.0.1:10809, [::1]:10809, or 0.0.0.0:10809 for every IPv4 address";
  const std::size_t colon = value.rfind(':');
  if (colon == std::string_view::npos || colon == 0) fail(option, value, right);
  std::string_view host = value.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    fail(option, value, "clear: write an IPv6 address as [ADDRESS]:PORT");
  }
  const auto port = whole_number(value.substr(colon + 1));
  if (host.empty() || !port || *port > std::numeric_limits<std::uint16_t>::max()) {
    fail(option, value, right);
  }
  return TcpEndpoint{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string parse_name(std::string_view option, std::string_view value) {
  const bool fits = !value.empty() && value.size() <= name_bytes_max && value.front() != '-' &&
                    std::all_of(value.begin(), value.end(), is_name_character);
  if (!fits) fail(option, value, "a name of 1 to 64 letters, digits, '.', '_' and '-'");
  std::string name(value);
  if (device_index(name)) fail(option, value, "a name: it reads like a device; choose another");
  return name;
}

std::string parse_id(std::string_view option, std::string_view value) {
  const bool fits = !value.empty() && value.size() <= id_bytes_max &&
                    std::all_of(value.begin(), value.end(), is_printable);
  if (!fits) fail(option, value, "an identity of 1 to 1024 printable bytes");
  return std::string(value);
}

TlsPolicy parse_tls_policy(std::string_view option, std::string_view value) {
  if (value == "off") return TlsPolicy::off;
  if (value == "allow") return TlsPolicy::allow;
  if (value == "require") return TlsPolicy::require;
  throw Failure(FailureKind::usage, std::string(option) + ": '" + std::string(value) +
                                        "' is not off, allow or require");
}

void check_serve_tls(const TlsSettings& tls) {
  if (tls.policy != TlsPolicy::off && tls.psk_file.empty() && tls.certificates.empty()) {
    throw Failure(FailureKind::usage,
                  "serve: TLS needs keys; give --tls-psk FILE or --tls-certificates DIR");
  }
  if (tls.verify_peer && tls.certificates.empty()) {
    throw Failure(FailureKind::usage,
                  "--tls-verify-peer looks at clients' certificates; give --tls-certificates DIR");
  }
}

}  // namespace nbdring
