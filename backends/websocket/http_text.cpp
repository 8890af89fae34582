// What http_head.hpp has besides its parser: looking into headers, and writing heads.

#include <algorithm>
#include <array>

#include "backends/websocket/http_head.hpp"

namespace nbdring {
namespace {

constexpr std::array<std::pair<unsigned, std::string_view>, 19> reasons{{
    {101, "Switching Protocols"},
    {200, "OK"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
}};

char lowered(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// What a peer said and we say again must not become a line of its own.
void append_line(std::string& head, std::string_view text) {
  for (const char c : text) head += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  head += "\r\n";
}

void append_headers(std::string& head, const HttpHeaders& headers) {
  for (const HttpHeader& header : headers) append_line(head, header.name + ": " + header.value);
  head += "\r\n";
}

}  // namespace

std::optional<std::string_view> find_header(const HttpHeaders& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(),
                                  [name](const auto& header) { return header.name == name; });
  if (found == headers.end()) return std::nullopt;
  return found->value;
}

std::vector<std::string_view> list_of(const HttpHeaders& headers, std::string_view name) {
  constexpr std::string_view blank = " \t";
  std::vector<std::string_view> elements;
  for (const HttpHeader& header : headers) {
    if (header.name != name) continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      std::string_view element = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      element.remove_prefix(std::min(element.find_first_not_of(blank), element.size()));
      element = element.substr(0, element.find_last_not_of(blank) + 1);
      if (!element.empty()) elements.push_back(element);
    }
  }
  return elements;
}

bool list_has(const HttpHeaders& headers, std::string_view name, std::string_view element) {
  const auto elements = list_of(headers, name);
  return std::any_of(elements.begin(), elements.end(), [element](std::string_view one) {
    return equals_ignoring_case(one, element);
  });
}

bool is_http_token(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char left, char right) { return lowered(left) == lowered(right); });
}

std::string_view reason_of(unsigned status) {
  const auto found = std::find_if(reasons.begin(), reasons.end(),
                                  [status](const auto& pair) { return pair.first == status; });
  return found == reasons.end() ? "Unknown" : found->second;
}

std::string format_response(unsigned status, const HttpHeaders& headers) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " ";
  append_line(head, reason_of(status));
  append_headers(head, headers);
  return head;
}

std::string format_request(std::string_view method, std::string_view target,
                           const HttpHeaders& headers) {
  std::string head;
  std::string line(method);
  append_line(head, line.append(" ").append(target).append(" HTTP/1.1"));
  append_headers(head, headers);
  return head;
}

}  // namespace nbdring
