// The JSON form of a DeviceStatus, both ways: what `status --json` prints and what the control
// protocol carries.

#include <nlohmann/json.hpp>

#include "cli/device_status.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const CommandStatus& command) {
  Json json;
  json["requests"] = command.requests;
  json["bytes"] = command.bytes;
  json["errors"] = command.errors;
  json["latency_ns"] = {
      {"p50", command.latency.p50}, {"p99", command.latency.p99}, {"p99.9", command.latency.p999}};
  return json;
}

Json json_of(const LaneStatus& lane) {
  Json json;
  json["state"] = lane.state;
  json["in_flight"] = lane.in_flight;
  json["refused"] = lane.refused;
  for (std::size_t i = 0; i < driver_commands.size(); ++i) {
    json[name_of(driver_commands[i])] = json_of(lane.commands[i]);
  }
  json["all"] = json_of(lane.all);
  return json;
}

CommandStatus command_from(const Json& json) {
  CommandStatus command;
  command.requests = json.at("requests").get<std::uint64_t>();
  command.bytes = json.at("bytes").get<std::uint64_t>();
  command.errors = json.at("errors").get<std::uint64_t>();
  const Json& latency = json.at("latency_ns");
  command.latency = {latency.at("p50").get<std::uint64_t>(), latency.at("p99").get<std::uint64_t>(),
                     latency.at("p99.9").get<std::uint64_t>()};
  return command;
}

LaneStatus lane_from(const Json& json) {
  LaneStatus lane;
  lane.state = json.at("state").get<std::string>();
  lane.in_flight = json.at("in_flight").get<std::uint64_t>();
  lane.refused = json.at("refused").get<std::uint64_t>();
  for (std::size_t i = 0; i < driver_commands.size(); ++i) {
    lane.commands[i] = command_from(json.at(name_of(driver_commands[i])));
  }
  lane.all = command_from(json.at("all"));
  return lane;
}

}  // namespace

std::string to_json(const DeviceStatus& status) {
  Json json = Json::parse(to_json(status.record));
  json["state"] = status.state;
  json["uptime"] = status.uptime;
  json["totals"] = json_of(status.total);
  json["lanes"] = Json::array();
  for (const LaneStatus& lane : status.lanes) json["lanes"].push_back(json_of(lane));
  return json.dump();
}

std::optional<DeviceStatus> status_from_json(const std::string& text) {
  const auto record = record_from_json(text);
  if (!record) return std::nullopt;
  const Json json = Json::parse(text);  // a record was in it: it is JSON
  try {
    DeviceStatus status;
    status.record = *record;
    status.state = json.at("state").get<std::string>();
    status.uptime = json.at("uptime").get<std::uint64_t>();
    status.total = lane_from(json.at("totals"));
    for (const Json& lane : json.at("lanes")) status.lanes.push_back(lane_from(lane));
    return status;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace nbdring
