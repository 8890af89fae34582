// The lines of the control protocol as JSON, both ways.

#include <nlohmann/json.hpp>

#include "cli/control.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

[[noreturn]] void refuse(const std::string& what) {
  throw Failure(FailureKind::failed, "the control protocol was broken: " + what);
}

Json object_from(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) refuse("not a JSON object");
  return json;
}

std::uint64_t size_from(const Json& json) {
  if (!json.is_number_unsigned()) refuse("a size is a number of bytes");
  return json.get<std::uint64_t>();
}

}  // namespace

std::string to_line(const ControlRequest& request) {
  using Command = ControlRequest::Command;
  Json json;
  switch (request.command) {
    case Command::status:
      json["command"] = "status";
      break;
    case Command::detach:
      json["command"] = "detach";
      json["force"] = request.force;
      break;
    case Command::resize:
      json["command"] = "resize";
      json["force"] = request.force;
      if (request.size) json["size"] = *request.size;
      break;
    case Command::upgrade:
      json["command"] = "upgrade";
      json["program"] = request.program;
      break;
  }
  return text_of(json);
}

std::string to_line(const ControlReply& reply) {
  ENSURE(reply.exit_code == 0 || !reply.error.empty());
  Json json;
  json["exit"] = reply.exit_code;
  if (!reply.error.empty()) json["error"] = reply.error;
  if (!reply.body.empty()) json["body"] = Json::parse(reply.body);
  return text_of(json);
}

ControlRequest parse_control_request(const std::string& line) {
  const Json json = object_from(line);
  try {
    const auto command = json.at("command").get<std::string>();
    ControlRequest request;
    if (command == "status") return request;
    if (command == "upgrade") {
      request.command = ControlRequest::Command::upgrade;
      request.program = json.at("program").get<std::string>();
      return request;
    }
    if (command == "detach" || command == "resize") {
      const bool is_detach = command == "detach";
      request.command =
          is_detach ? ControlRequest::Command::detach : ControlRequest::Command::resize;
      request.force = json.at("force").get<bool>();
      if (!is_detach && json.contains("size")) request.size = size_from(json["size"]);
      return request;
    }
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  refuse("no such command");
}

ControlReply parse_control_reply(const std::string& line) {
  const Json json = object_from(line);
  try {
    ControlReply reply;
    reply.exit_code = json.at("exit").get<int>();
    reply.error = json.value("error", "");
    if (json.contains("body")) reply.body = json.at("body").dump();
    return reply;
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
}

std::string ends_within_body(std::chrono::seconds within) {
  return Json{{"ends_within", within.count()}}.dump();
}

std::optional<std::chrono::seconds> ends_within(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("ends_within")) return std::nullopt;
  const Json& seconds = json["ends_within"];
  if (!seconds.is_number_unsigned()) return std::nullopt;
  return std::chrono::seconds(seconds.get<std::uint32_t>());
}

}  // namespace nbdring
