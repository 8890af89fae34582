#pragma once
// The head of an HTTP/1.1 message (RFC 9112): bytes in, checked values out. No I/O, no state: who
// receives calls again with all bytes so far. Boost.Beast's parser reads the head; what Beast takes
// and two readers could take for two things is refused before or after it: a line that ends with
// LF or CR alone, a folded line, NUL and other control characters, a target that is no plain path,
// a header twice that may stand once, a length beside Transfer-Encoding.
//
// Only what a websocket and a page of a few files need: no chunked bodies, no HTTP/1.0, no second
// request on a connection.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nbdring {

struct HttpHeader {
  std::string name;  // of a message that was parsed: in lower case
  std::string value;

  friend bool operator==(const HttpHeader&, const HttpHeader&) = default;
};

using HttpHeaders = std::vector<HttpHeader>;

/// The first header of this name (in lower case).
std::optional<std::string_view> find_header(const HttpHeaders& headers, std::string_view name);

/// The elements of a list header, "a, b", in their order, over all headers of this name; empty ones
/// are left out (RFC 9110, 5.6.1). They are views into the headers.
std::vector<std::string_view> list_of(const HttpHeaders& headers, std::string_view name);

/// Whether the element is in the list, ignoring case.
bool list_has(const HttpHeaders& headers, std::string_view name, std::string_view element);

/// RFC 9110, 5.6.2: not empty, and every character may stand in a name.
bool is_http_token(std::string_view text);

/// "Abc" equals "aBC"; only ASCII's letters have case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

struct HttpTarget {
  /// Begins with '/'; %XX decoded; no "//", no segment "." or "..", no '\', no control characters,
  /// no %2F. A '/' at the end stays: it is another path.
  std::string path;
  /// NAME=VALUE by '&', %XX decoded; '+' is a plain character; each name once.
  std::vector<std::pair<std::string, std::string>> query;

  std::optional<std::string_view> parameter(std::string_view name) const;
};

struct HttpRequest {
  std::string method;  // as it was sent: methods have case
  HttpTarget target;
  HttpHeaders headers;           // Host is among them, once
  std::uint64_t body_bytes = 0;  // Content-Length
  std::size_t head_bytes = 0;    // where the body begins
};

struct HttpResponse {
  unsigned status = 0;
  std::string reason;
  HttpHeaders headers;
  std::size_t head_bytes = 0;
};

/// What is said instead of what was asked for: by us, to the peer.
struct HttpError {
  unsigned status = 400;
  std::string why;  // one clause; nothing secret, it goes to the peer
  HttpHeaders headers = {};
};

/// The bytes so far are the beginning of a head.
struct HeadIncomplete {};

struct HttpLimits {
  std::size_t head_bytes = 8192;
  std::size_t headers = 64;
  std::uint64_t body_bytes = 4096;
};

/// 400; 413 body too long; 414 target, 431 head or number of headers beyond the limit; 501 a
/// Transfer-Encoding; 505 not HTTP/1.1.
std::variant<HeadIncomplete, HttpRequest, HttpError> parse_request_head(
    std::span<const std::byte> bytes, const HttpLimits& limits = {});

/// For clients: `why` says what is wrong with the answer, the status means nothing. The body is not
/// looked at, nor what says how long it is.
std::variant<HeadIncomplete, HttpResponse, HttpError> parse_response_head(
    std::span<const std::byte> bytes, const HttpLimits& limits = {});

/// "OK" for 200; "Unknown" for what has no name here.
std::string_view reason_of(unsigned status);

/// "HTTP/1.1 STATUS REASON" and the headers, to the empty line. In a value what could end the line
/// becomes a space.
std::string format_response(unsigned status, const HttpHeaders& headers);

/// "METHOD TARGET HTTP/1.1" and the headers, to the empty line. The target is encoded already.
std::string format_request(std::string_view method, std::string_view target,
                           const HttpHeaders& headers);

}  // namespace nbdring
