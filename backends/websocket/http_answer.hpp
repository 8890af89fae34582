#pragma once
// What the gateway answers, but for websockets: a file, JSON, an error in words. Every answer ends
// its connection and carries the same headers against being misused: a strict content security
// policy, no guessing of types, no framing, no cache where there is something secret.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "backends/websocket/http_head.hpp"
#include "backends/websocket/static_files.hpp"

namespace nbdring {

struct HttpAnswer {
  unsigned status = 200;
  HttpHeaders headers;
  std::string body;
};

/// {"error": why}
HttpAnswer answer_error(const HttpError& error);
HttpAnswer answer_json(const nlohmann::json& json);
/// 304 where the client has these very bytes (If-None-Match).
HttpAnswer answer_file(const StaticFile& file, const HttpRequest& request);

/// Head and, unless it was asked for the head only, body.
std::string format_answer(const HttpAnswer& answer, bool head_only);

}  // namespace nbdring
