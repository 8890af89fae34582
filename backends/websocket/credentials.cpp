#include "backends/websocket/credentials.hpp"

#include <optional>
#include <string_view>

namespace nbdring {
namespace {

constexpr std::string_view token_prefix = "nbd.token.";
constexpr std::string_view session_prefix = "nbd.session.";

/// What follows the scheme, which has no case (RFC 9110, 11.1).
std::optional<std::string_view> after_scheme(std::string_view header, std::string_view scheme) {
  const std::size_t space = header.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  if (!equals_ignoring_case(header.substr(0, space), scheme)) return std::nullopt;
  const std::size_t begin = header.find_first_not_of(' ', space);
  if (begin == std::string_view::npos) return std::nullopt;
  return header.substr(begin);
}

bool from_protocol(std::string_view protocol, Credentials& found) {
  if (protocol.starts_with(session_prefix)) {
    found.session = protocol.substr(session_prefix.size());
    return !found.session.empty();
  }
  if (!protocol.starts_with(token_prefix)) return false;
  const std::string_view text = protocol.substr(token_prefix.size());
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return false;
  found.token = std::string(text.substr(0, dot)) + ":" + std::string(text.substr(dot + 1));
  return true;
}

}  // namespace

Credentials credentials_of(const HttpRequest& request, std::span<const std::string> protocols) {
  Credentials found;
  if (const auto header = find_header(request.headers, "authorization")) {
    if (const auto token = after_scheme(*header, "Bearer")) found.token = *token;
    if (const auto session = after_scheme(*header, "Bearer-Session")) found.session = *session;
  }
  const bool has_header = !found.token.empty() || !found.session.empty();
  for (const std::string& protocol : protocols) {
    if (has_header) break;
    if (!from_protocol(protocol, found)) continue;
    found.protocol = protocol;
    break;
  }
  return found;
}

}  // namespace nbdring
