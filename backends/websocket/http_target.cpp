#include "backends/websocket/http_target.hpp"

#include <algorithm>

namespace nbdring {
namespace {

int hexadecimal_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Once: what is still a %XX behind it was meant as one.
std::optional<std::string> decoded(std::string_view raw) {
  std::string text;
  text.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      const int high = i + 1 < raw.size() ? hexadecimal_digit(raw[i + 1]) : -1;
      const int low = i + 2 < raw.size() ? hexadecimal_digit(raw[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) return std::nullopt;
    text += c;
  }
  return text;
}

// A path that two readers could take for two: what is between us and the browser may guard one of
// them.
std::optional<std::string> parse_path(std::string_view raw, std::string& path) {
  std::string_view rest = raw.substr(1);
  path.assign(1, '/');
  for (;;) {
    const std::size_t slash = rest.find('/');
    const auto segment = decoded(rest.substr(0, slash));
    if (!segment) return "the path has a broken %XX or a control character";
    if (segment->find_first_of("/\\") != std::string::npos) {
      return "the path has an encoded '/' or a '\\'";
    }
    if (*segment == "." || *segment == "..") return "the path has a segment '.' or '..'";
    path += *segment;
    if (slash == std::string_view::npos) return std::nullopt;
    if (segment->empty()) return "the path has '//'";
    path += '/';
    rest.remove_prefix(slash + 1);
  }
}

std::optional<std::string> parse_query(std::string_view raw, HttpTarget& target) {
  while (!raw.empty()) {
    const std::size_t separator = raw.find('&');
    const std::string_view section = raw.substr(0, separator);
    raw = separator == std::string_view::npos ? std::string_view() : raw.substr(separator + 1);
    if (section.empty()) continue;
    const std::size_t equals = section.find('=');
    auto name = decoded(section.substr(0, equals));
    auto value =
        decoded(equals == std::string_view::npos ? std::string_view() : section.substr(equals + 1));
    if (!name || !value) return "the query has a broken %XX or a control character";
    if (target.parameter(*name)) return "the query has a parameter twice";
    target.query.emplace_back(std::move(*name), std::move(*value));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> HttpTarget::parameter(std::string_view name) const {
  const auto found = std::find_if(query.begin(), query.end(),
                                  [name](const auto& pair) { return pair.first == name; });
  if (found == query.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> parse_target(std::string_view raw, HttpTarget& target) {
  if (!raw.starts_with('/')) return "the target is no path";
  const auto cannot_stand = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
  if (std::any_of(raw.begin(), raw.end(), cannot_stand)) {
    return "the target has a character that must be written as %XX";
  }
  const std::size_t mark = raw.find('?');
  if (auto error = parse_path(raw.substr(0, mark), target.path)) return error;
  if (mark == std::string_view::npos) return std::nullopt;
  return parse_query(raw.substr(mark + 1), target);
}

}  // namespace nbdring
