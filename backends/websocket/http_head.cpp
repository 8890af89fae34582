#include "backends/websocket/http_head.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

#include "backends/websocket/http_target.hpp"

namespace nbdring {
namespace {

namespace beast = boost::beast;

// Twice in one message they are two messages to two readers.
constexpr std::array<std::string_view, 11> may_stand_once{
    "authorization",      "content-length",        "host",   "location",
    "nbdring-next-token", "nbdring-session",       "origin", "sec-websocket-accept",
    "sec-websocket-key",  "sec-websocket-version", "upgrade"};

std::string_view text_of(beast::string_view text) { return {text.data(), text.size()}; }

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

HttpError bad(std::string why) { return {400, std::move(why), {}}; }

/// Where a head ends, found without trusting anybody else's idea of a line.
struct Scan {
  std::size_t end = 0;  // behind the empty line; 0: not there yet
  bool has_line = false;
  std::optional<HttpError> error = std::nullopt;
};

Scan scan_head(std::string_view bytes) {
  Scan scan;
  std::size_t line = 0;  // where it begins
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      if (i == 0 || bytes[i - 1] != '\r') {
        scan.error = bad("a line of the head ends with LF alone");
        return scan;
      }
      if (i - line == 1) {
        if (line == 0) scan.error = bad("the head begins with an empty line");
        scan.end = i + 1;
        return scan;
      }
      scan.has_line = true;
      line = i + 1;
    } else if (i > 0 && bytes[i - 1] == '\r') {
      scan.error = bad("the head has a CR within a line");
      return scan;
    } else if ((c == ' ' || c == '\t') && i == line) {
      scan.error = bad("a line of the head is folded");
      return scan;
    } else if ((byte < ' ' && c != '\t' && c != '\r') || byte == 0x7f) {
      scan.error = bad("the head has a control character");
      return scan;
    }
  }
  return scan;
}

// Either the error, or a head that is complete and within the limits, or one that is not complete.
Scan find_head(std::span<const std::byte> bytes, const HttpLimits& limits) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min(bytes.size(), limits.head_bytes));
  Scan scan = scan_head(text);
  if (scan.error || scan.end > 0 || text.size() < limits.head_bytes) return scan;
  const std::string most = std::to_string(limits.head_bytes) + " bytes";
  scan.error = scan.has_line ? HttpError{431, "the head is longer than " + most, {}}
                             : HttpError{414, "the request's line is longer than " + most, {}};
  return scan;
}

HttpError error_of(const boost::system::error_code& error) {
  if (error == beast::http::error::bad_version) return {505, "only HTTP/1.1 is spoken here", {}};
  if (error == beast::http::error::bad_transfer_encoding) {
    return bad("Transfer-Encoding contradicts itself or Content-Length");
  }
  return bad("the head is no HTTP: " + error.message());
}

// The head and nothing else goes in; whatever body there is is not the parser's.
template <bool is_request>
std::optional<HttpError> parse(beast::http::parser<is_request, beast::http::empty_body>& parser,
                               std::span<const std::byte> head) {
  boost::system::error_code error;
  parser.header_limit(static_cast<std::uint32_t>(head.size()));
  parser.skip(true);
  parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
  if (error) return error_of(error);
  if (!parser.is_header_done()) return bad("the head is no HTTP");
  if (parser.get().version() != 11) return HttpError{505, "only HTTP/1.1 is spoken here", {}};
  return std::nullopt;
}

template <typename Fields>
std::optional<HttpError> take_headers(const Fields& fields, const HttpLimits& limits,
                                      HttpHeaders& headers) {
  for (const auto& field : fields) {
    if (headers.size() == limits.headers) {
      return HttpError{431, "more than " + std::to_string(limits.headers) + " headers", {}};
    }
    headers.push_back({lowered(text_of(field.name_string())), std::string(text_of(field.value()))});
  }
  for (const std::string_view name : may_stand_once) {
    const auto times = std::count_if(headers.begin(), headers.end(),
                                     [name](const auto& header) { return header.name == name; });
    if (times > 1) return bad("the header " + std::string(name) + " is there twice");
  }
  return std::nullopt;
}

// What would bring a user, a path or a list along is no host.
bool is_authority(std::string_view host) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~:[]%").find(c) != std::string_view::npos;
  };
  return !host.empty() && std::all_of(host.begin(), host.end(), fits);
}

std::optional<HttpError> take_body_length(HttpRequest& request, const HttpLimits& limits) {
  if (find_header(request.headers, "transfer-encoding")) {
    return HttpError{501, "Transfer-Encoding is not supported", {}};
  }
  const auto length = find_header(request.headers, "content-length");
  if (!length) return std::nullopt;
  constexpr std::size_t longest = 18;  // digits that no 64-bit number can overflow with
  const bool is_number = !length->empty() && length->size() <= longest &&
                         length->find_first_not_of("0123456789") == std::string_view::npos;
  if (!is_number) return bad("Content-Length is not a number");
  request.body_bytes = std::stoull(std::string(*length));
  if (request.body_bytes <= limits.body_bytes) return std::nullopt;
  return HttpError{
      413, "the body is longer than " + std::to_string(limits.body_bytes) + " bytes", {}};
}

}  // namespace

std::variant<HeadIncomplete, HttpRequest, HttpError> parse_request_head(
    std::span<const std::byte> bytes, const HttpLimits& limits) {
  Scan scan = find_head(bytes, limits);
  if (scan.error) return std::move(*scan.error);
  if (scan.end == 0) return HeadIncomplete();
  beast::http::request_parser<beast::http::empty_body> parser;
  if (auto error = parse(parser, bytes.first(scan.end))) return std::move(*error);
  HttpRequest request;
  request.method = text_of(parser.get().method_string());
  request.head_bytes = scan.end;
  if (auto error = take_headers(parser.get(), limits, request.headers)) return std::move(*error);
  const auto host = find_header(request.headers, "host");
  if (!host || !is_authority(*host)) return bad("the header Host is missing or names no host");
  if (auto error = parse_target(text_of(parser.get().target()), request.target)) {
    return bad(std::move(*error));
  }
  if (auto error = take_body_length(request, limits)) return std::move(*error);
  return request;
}

std::variant<HeadIncomplete, HttpResponse, HttpError> parse_response_head(
    std::span<const std::byte> bytes, const HttpLimits& limits) {
  Scan scan = find_head(bytes, limits);
  if (scan.error) return std::move(*scan.error);
  if (scan.end == 0) return HeadIncomplete();
  beast::http::response_parser<beast::http::empty_body> parser;
  if (auto error = parse(parser, bytes.first(scan.end))) return std::move(*error);
  HttpResponse response;
  response.status = parser.get().result_int();
  response.reason = text_of(parser.get().reason());
  response.head_bytes = scan.end;
  if (auto error = take_headers(parser.get(), limits, response.headers)) return std::move(*error);
  return response;
}

}  // namespace nbdring
