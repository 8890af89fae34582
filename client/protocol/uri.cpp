#include "client/protocol/uri.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

char lowered(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// RFC 3986, section 2.3
bool is_unreserved(char c) {
  return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

int hexadecimal_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = lowered(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

[[noreturn]] void fail(std::string_view part, std::string_view value, std::string_view problem) {
  std::string text = "the URI's ";
  text.append(part).append(" '").append(value).append("' ").append(problem);
  throw Failure(FailureKind::usage, text);
}

enum class Nul { refused, may_lead };

std::string decode(std::string_view part, std::string_view raw, Nul nul = Nul::refused) {
  std::string decoded;
  decoded.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      const int high = i + 1 < raw.size() ? hexadecimal_digit(raw[i + 1]) : -1;
      const int low = i + 2 < raw.size() ? hexadecimal_digit(raw[i + 2]) : -1;
      if (high < 0 || low < 0) {
        fail(part, raw, "has a '%' without two hexadecimal digits; write a '%' itself as %25");
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const bool may_be_nul = nul == Nul::may_lead && decoded.empty();
    if (c == '\0' && !may_be_nul) fail(part, raw, "contains a NUL");
    decoded += c;
  }
  return decoded;
}

std::string parse_ip_literal(std::string_view raw) {
  const std::string host = decode("host", raw);
  const std::size_t zone_at = host.find('%');
  const std::string address = host.substr(0, zone_at);
  in6_addr parsed{};
  if (::inet_pton(AF_INET6, address.c_str(), &parsed) != 1) {
    fail("host", raw, "is not an IPv6 address");
  }
  if (zone_at == std::string::npos) return host;
  const auto zone = std::string_view(host).substr(zone_at + 1);
  if (zone.empty() || !std::all_of(zone.begin(), zone.end(), is_unreserved)) {
    fail("host", raw, "has a zone that is no interface's name");
  }
  return host;
}

std::string parse_host_name(std::string_view raw) {
  const std::string host = decode("host", raw);
  const auto cannot_stand = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 0x7f ||
           std::string_view(":/?#[]@%").find(c) != std::string_view::npos;
  };
  if (std::any_of(host.begin(), host.end(), cannot_stand)) {
    fail("host", raw, "has a character that no host's name has");
  }
  return host;
}

// A vsock port has 32 bits, and all of them set mean "any".
std::uint32_t parse_port(std::string_view scheme, std::string_view raw) {
  const bool is_vsock = scheme.ends_with("+vsock");
  const std::uint32_t most =
      is_vsock ? std::numeric_limits<std::uint32_t>::max() - 1 : std::uint32_t{65535};
  std::uint32_t port = 0;
  const auto [stop, error] = std::from_chars(raw.data(), raw.data() + raw.size(), port);
  if (error != std::errc() || stop != raw.data() + raw.size() || port == 0 || port > most) {
    fail("port", raw, "is not a number from 1 to " + std::to_string(most));
  }
  return port;
}

// [user@]host[:port]
void parse_authority(std::string_view raw, Uri& uri) {
  if (const std::size_t at = raw.find('@'); at != std::string_view::npos) {
    if (raw.find('@', at + 1) != std::string_view::npos) {
      fail("authority", raw, "has more than one '@'; write the others as %40");
    }
    uri.user = decode("user", raw.substr(0, at));
    raw.remove_prefix(at + 1);
  }
  std::string_view rest;
  if (raw.starts_with('[')) {
    const std::size_t close = raw.find(']');
    if (close == std::string_view::npos) fail("host", raw, "has a '[' without its ']'");
    uri.host = parse_ip_literal(raw.substr(1, close - 1));
    rest = raw.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') {
      fail("host", raw, "has something other than a port behind its ']'");
    }
  } else {
    const std::size_t colon = raw.find(':');
    if (colon != raw.rfind(':')) {
      fail("host", raw, "is not clear; an IPv6 address is written in brackets, as in [::1]");
    }
    uri.host = parse_host_name(raw.substr(0, colon));
    if (colon != std::string_view::npos) rest = raw.substr(colon);
  }
  if (rest.size() > 1) uri.port = parse_port(uri.scheme, rest.substr(1));
}

void parse_parameters(std::string_view raw, Uri& uri) {
  while (!raw.empty()) {
    const std::size_t separator = raw.find_first_of("&;");
    const std::string_view section = raw.substr(0, separator);
    raw = separator == std::string_view::npos ? std::string_view() : raw.substr(separator + 1);
    const std::size_t equals = section.find('=');
    std::string name = decode("parameter", section.substr(0, equals));
    if (name.empty()) continue;
    const Nul nul = name == "socket" ? Nul::may_lead : Nul::refused;
    std::string value;
    if (equals != std::string_view::npos) {
      value = decode("parameter " + name, section.substr(equals + 1), nul);
    }
    uri.parameters.emplace_back(std::move(name), std::move(value));
  }
}

void append_encoded(std::string& text, std::string_view value, std::string_view plain) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : value) {
    if (is_unreserved(c) || plain.find(c) != std::string_view::npos) {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += '%';
      text += digits[byte >> 4];
      text += digits[byte & 15];
    }
  }
}

void append_authority(std::string& text, const Uri& uri) {
  text += "//";
  if (uri.user) {
    append_encoded(text, *uri.user, ":+");
    text += '@';
  }
  const bool is_ip_literal = uri.host.find(':') != std::string::npos;
  if (is_ip_literal) text += '[';
  append_encoded(text, uri.host, is_ip_literal ? ":" : "");
  if (is_ip_literal) text += ']';
  if (uri.port) text += ':' + std::to_string(*uri.port);
}

}  // namespace

std::optional<std::string_view> Uri::parameter(std::string_view name) const {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [name](const auto& pair) { return pair.first == name; });
  if (found == parameters.end()) return std::nullopt;
  return found->second;
}

std::string_view Uri::export_name() const {
  if (const auto name = parameter("name")) return *name;
  std::string_view name = path;
  if (name.starts_with('/')) name.remove_prefix(1);
  return name;
}

std::optional<std::string> scheme_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_letter(text.front())) return {};
  std::string scheme(text.substr(0, colon));
  const auto fits = [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  };
  if (!std::all_of(scheme.begin(), scheme.end(), fits)) return {};
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), lowered);
  return scheme;
}

Uri parse_uri(std::string_view text) {
  const auto scheme = scheme_of(text);
  if (!scheme) fail("scheme", text, "is missing; a URI begins as nbd://HOST/EXPORT does");
  if (const std::size_t hash = text.find('#'); hash != std::string_view::npos) {
    fail("fragment", text.substr(hash), "means nothing here; write a '#' itself as %23");
  }
  Uri uri;
  uri.scheme = *scheme;
  std::string_view rest = text.substr(scheme->size() + 1);
  std::string_view query;
  if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    uri.has_authority = true;
    parse_authority(rest.substr(0, slash), uri);
    rest = rest.substr(slash);
  }
  uri.path = decode("path", rest);
  parse_parameters(query, uri);
  return uri;
}

std::string to_text(const Uri& uri) {
  ENSURE(scheme_of(uri.scheme + ':') == uri.scheme);
  ENSURE(uri.has_authority || (uri.host.empty() && !uri.user && !uri.port));
  std::string text = uri.scheme + ':';
  std::string_view path = uri.path;
  if (uri.has_authority) {
    append_authority(text, uri);
  } else if (path.starts_with("//")) {  // would be taken for an authority
    text += "/%2F";
    path.remove_prefix(2);
  }
  append_encoded(text, path, "/:@+,=");
  char separator = '?';
  for (const auto& [name, value] : uri.parameters) {
    text += separator;
    append_encoded(text, name, "");
    if (!value.empty()) text += '=';
    append_encoded(text, value, "/:@+,=");
    separator = '&';
  }
  return text;
}

}  // namespace nbdring
