// Any bytes as an HTTP head: what is taken means one thing, is within the limits, and is taken only
// when its last byte is there. What asks for a websocket gets an answer that a client takes.

#include "backends/websocket/http_head.hpp"

#include <algorithm>

#include "backends/websocket/upgrade.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

using Bytes = std::span<const std::byte>;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < ' ' && c != '\t') || byte == 0x7f;
  });
}

void check_headers(const HttpHeaders& headers) {
  ENSURE(headers.size() <= HttpLimits().headers);
  for (const HttpHeader& header : headers) {
    ENSURE(is_http_token(header.name) && !has_control(header.value));
    ENSURE(std::none_of(header.name.begin(), header.name.end(),
                        [](char c) { return c >= 'A' && c <= 'Z'; }));
  }
}

void check_request(const HttpRequest& request, Bytes bytes) {
  ENSURE(request.head_bytes <= bytes.size() && request.head_bytes <= HttpLimits().head_bytes);
  ENSURE(request.body_bytes <= HttpLimits().body_bytes);
  ENSURE(is_http_token(request.method));
  check_headers(request.headers);
  const auto hosts = std::count_if(request.headers.begin(), request.headers.end(),
                                   [](const auto& header) { return header.name == "host"; });
  ENSURE(hosts == 1 && !find_header(request.headers, "transfer-encoding"));
  const std::string& path = request.target.path;
  ENSURE(path.starts_with('/') && !has_control(path));
  const std::string closed = path + "/";
  ENSURE(closed.find("/../") == std::string::npos && closed.find("/./") == std::string::npos);
  ENSURE(path.find("//") == std::string::npos && path.find('\\') == std::string::npos);
}

void check_upgrade_of(const HttpRequest& request) {
  const auto checked = check_upgrade(request, {});
  if (const auto* error = std::get_if<HttpError>(&checked)) {
    ENSURE(error->status >= 400 && !error->why.empty());
    return;
  }
  const auto& ok = std::get<UpgradeOk>(checked);
  UpgradeWish wish;
  wish.key = *find_header(request.headers, "sec-websocket-key");
  wish.protocols = ok.protocols;
  const std::string protocol = ok.protocols.empty() ? "" : ok.protocols.back();
  const std::string answer = upgrade_response(ok, protocol, {});
  const auto response = parse_response_head(std::as_bytes(std::span(answer)));
  ENSURE(std::holds_alternative<HttpResponse>(response));
  const auto agreed = check_upgrade_response(std::get<HttpResponse>(response), wish);
  ENSURE(std::holds_alternative<UpgradeAgreed>(agreed));
  ENSURE(std::get<UpgradeAgreed>(agreed).protocol == protocol);
}

template <typename Message, typename Parse>
void check_pieces(Bytes bytes, std::size_t head_bytes, Parse parse) {
  ENSURE(std::holds_alternative<HeadIncomplete>(parse(bytes.first(head_bytes - 1))));
  ENSURE(std::holds_alternative<HeadIncomplete>(parse(bytes.first(head_bytes / 2))));
  const auto whole = parse(bytes.first(head_bytes));
  ENSURE(std::holds_alternative<Message>(whole));
  ENSURE(std::get<Message>(whole).head_bytes == head_bytes);
}

void try_request(Bytes bytes) {
  const auto parse = [](Bytes part) { return parse_request_head(part); };
  const auto parsed = parse(bytes);
  if (const auto* request = std::get_if<HttpRequest>(&parsed)) {
    check_request(*request, bytes);
    check_pieces<HttpRequest>(bytes, request->head_bytes, parse);
    check_upgrade_of(*request);
  } else if (const auto* error = std::get_if<HttpError>(&parsed)) {
    ENSURE(error->status >= 400 && error->status < 600 && !has_control(error->why));
  } else {
    ENSURE(bytes.size() < HttpLimits().head_bytes);
  }
}

void try_response(Bytes bytes) {
  const auto parse = [](Bytes part) { return parse_response_head(part); };
  const auto parsed = parse(bytes);
  const auto* response = std::get_if<HttpResponse>(&parsed);
  if (response == nullptr) return;
  check_headers(response->headers);
  check_pieces<HttpResponse>(bytes, response->head_bytes, parse);
  const auto checked = check_upgrade_response(*response, UpgradeWish());
  if (const auto* refused = std::get_if<UpgradeRefused>(&checked)) {
    ENSURE(!refused->why.empty() && !has_control(refused->why));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size);
  try_request(input.rest());
  try_response(input.rest());
  return 0;
}

}  // namespace nbdring
