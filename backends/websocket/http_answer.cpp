#include "backends/websocket/http_answer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace nbdring {
namespace {

constexpr unsigned not_modified = 304;

// The page needs no more than this: its own scripts, workers and styles, images that it draws, and
// connections to gateways.
constexpr std::string_view content_security_policy =
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self' ws: wss:; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string json_text(const nlohmann::json& json) {
  // What a peer's or a file's text breaks of UTF-8 is replaced: an answer is always valid.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

HttpAnswer json_answer(unsigned status, const nlohmann::json& json) {
  HttpAnswer answer;
  answer.status = status;
  answer.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  answer.body = json_text(json);
  return answer;
}

}  // namespace

HttpAnswer answer_error(const HttpError& error) {
  HttpAnswer answer = json_answer(error.status, {{"error", error.why}});
  answer.headers.insert(answer.headers.end(), error.headers.begin(), error.headers.end());
  return answer;
}

HttpAnswer answer_json(const nlohmann::json& json) { return json_answer(200, json); }

HttpAnswer answer_file(const StaticFile& file, const HttpRequest& request) {
  HttpAnswer answer;
  answer.headers = {{"Content-Type", std::string(file.type)},
                    {"Cache-Control", "no-cache"},  // may be kept, but asked about each time
                    {"ETag", file.etag}};
  const auto known = list_of(request.headers, "if-none-match");
  const bool has_it = std::find(known.begin(), known.end(), file.etag) != known.end();
  if (has_it) {
    answer.status = not_modified;
  } else {
    answer.body = file.bytes;
  }
  return answer;
}

std::string format_answer(const HttpAnswer& answer, bool head_only) {
  HttpHeaders headers = answer.headers;
  if (answer.status != not_modified) {
    headers.push_back({"Content-Length", std::to_string(answer.body.size())});
  }
  const HttpHeaders everywhere = {
      {"Connection", "close"},
      {"Content-Security-Policy", std::string(content_security_policy)},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
  };
  headers.insert(headers.end(), everywhere.begin(), everywhere.end());
  std::string text = format_response(answer.status, headers);
  if (!head_only) text += answer.body;
  return text;
}

}  // namespace nbdring
