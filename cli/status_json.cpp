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

Json json_of(const BackendHealth& remote) {
  Json json;
  json["state"] = remote.state;
  json["since_ms"] = remote.since.count();
  json["reconnects"] = remote.reconnects;
  json["replayed_writes"] = remote.replayed_writes;
  json["replayed_bytes"] = remote.replayed_bytes;
  json["volatile_writes"] = remote.volatile_writes;
  json["volatile_bytes"] = remote.volatile_bytes;
  json["lost_writes"] = remote.lost_writes;
  json["longest_stall_ms"] = remote.longest_stall.count();
  json["last_reason"] = remote.last_reason;
  json["endpoint"] = remote.endpoint;
  json["tls"] = remote.tls;
  return json;
}

BackendHealth remote_from(const Json& json) {
  using std::chrono::milliseconds;
  BackendHealth remote;
  remote.state = json.at("state").get<std::string>();
  remote.since = milliseconds(json.at("since_ms").get<std::int64_t>());
  remote.reconnects = json.at("reconnects").get<std::uint64_t>();
  remote.replayed_writes = json.at("replayed_writes").get<std::uint64_t>();
  remote.replayed_bytes = json.at("replayed_bytes").get<std::uint64_t>();
  remote.volatile_writes = json.at("volatile_writes").get<std::uint64_t>();
  remote.volatile_bytes = json.at("volatile_bytes").get<std::uint64_t>();
  remote.lost_writes = json.at("lost_writes").get<std::uint64_t>();
  remote.longest_stall = milliseconds(json.at("longest_stall_ms").get<std::int64_t>());
  remote.last_reason = json.at("last_reason").get<std::string>();
  remote.endpoint = json.at("endpoint").get<std::string>();
  remote.tls = json.at("tls").get<std::string>();
  return remote;
}

Json json_of(const PeerStatus& peer) {
  Json json;
  json["configuration"] = peer.configuration;
  json["state"] = peer.state;
  json["address"] = peer.address;
  json["who"] = peer.who;
  json["connections"] = peer.connections;
  json["here"] = peer.here;
  json["away"] = peer.away;
  json["returns"] = peer.returns;
  json["note"] = peer.note;
  return json;
}

PeerStatus peer_from(const Json& json) {
  PeerStatus peer;
  peer.configuration = json.at("configuration").get<std::string>();
  peer.state = json.at("state").get<std::string>();
  peer.address = json.at("address").get<std::string>();
  peer.who = json.at("who").get<std::string>();
  peer.connections = json.at("connections").get<std::uint64_t>();
  peer.here = json.at("here").get<std::uint64_t>();
  peer.away = json.at("away").get<std::uint64_t>();
  peer.returns = json.at("returns").get<std::uint64_t>();
  peer.note = json.at("note").get<std::string>();
  return peer;
}

Json json_of(const StallStatus& stall) {
  Json json;
  json["cause"] = stall.cause;
  json["when"] = stall.when;
  json["ms"] = stall.milliseconds;
  json["in_flight_ms"] = stall.in_flight_milliseconds;
  json["count"] = stall.count;
  return json;
}

StallStatus stall_from(const Json& json) {
  StallStatus stall;
  stall.cause = json.at("cause").get<std::string>();
  stall.when = json.at("when").get<std::int64_t>();
  stall.milliseconds = json.at("ms").get<std::uint64_t>();
  stall.in_flight_milliseconds = json.at("in_flight_ms").get<std::uint64_t>();
  stall.count = json.at("count").get<std::uint64_t>();
  return stall;
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
  if (!status.last_stall.cause.empty()) json["last_stall"] = json_of(status.last_stall);
  json["engine_restarts"] = status.engine_restarts;
  json["lost_connections"] = status.lost_connections;
  json["refilled"] = status.refilled;
  json["fenced"] = status.fenced;
  if (!status.remote.state.empty()) json["remote"] = json_of(status.remote);
  if (!status.peer.configuration.empty()) json["peer"] = json_of(status.peer);
  json["totals"] = json_of(status.total);
  json["lanes"] = Json::array();
  for (const LaneStatus& lane : status.lanes) json["lanes"].push_back(json_of(lane));
  // A server's words are in it, and they may be any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
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
    if (json.contains("last_stall")) status.last_stall = stall_from(json.at("last_stall"));
    status.engine_restarts = json.value("engine_restarts", std::uint64_t{0});
    status.lost_connections = json.value("lost_connections", std::uint64_t{0});
    status.refilled = json.value("refilled", std::uint64_t{0});
    status.fenced = json.value("fenced", std::uint64_t{0});
    if (json.contains("remote")) status.remote = remote_from(json.at("remote"));
    if (json.contains("peer")) status.peer = peer_from(json.at("peer"));
    for (const Json& lane : json.at("lanes")) status.lanes.push_back(lane_from(lane));
    return status;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace nbdring
