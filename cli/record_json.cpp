// The JSON form of a DeviceRecord: in the record file, in the control protocol and in what `list
// --json` prints.

#include <nlohmann/json.hpp>

#include "cli/state.hpp"

namespace nbdring {

std::string to_json(const DeviceRecord& record) {
  nlohmann::ordered_json json;
  json["device"] = record.device();
  json["index"] = record.index;
  json["id"] = record.id;
  json["name"] = record.name;
  json["backend"] = record.backend;
  if (!record.configuration.empty()) json["configuration"] = record.configuration;
  json["size"] = record.size;
  json["block_size"] = record.block_size;
  json["read_only"] = record.read_only;
  json["connections"] = record.connections;
  json["timeout"] = record.timeout;
  json["fresh"] = record.fresh;
  json["pid"] = record.pid;
  if (record.keeper != 0) json["keeper"] = record.keeper;
  if (record.kernel_path) json["path"] = "kernel";
  if (record.kernel_path) json["server_flags"] = record.server_flags;
  if (record.recovering) json["recovering"] = true;
  json["started"] = record.started;
  // Names and paths are bytes: what is not UTF-8 is replaced, for JSON has no other words.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<DeviceRecord> record_from_json(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    DeviceRecord record;
    record.index = json.at("index").get<std::uint32_t>();
    record.id = json.at("id").get<std::string>();
    record.name = json.at("name").get<std::string>();
    record.backend = json.at("backend").get<std::string>();
    record.configuration = json.value("configuration", "");
    record.size = json.at("size").get<std::uint64_t>();
    record.block_size = json.at("block_size").get<std::uint32_t>();
    record.read_only = json.at("read_only").get<bool>();
    record.connections = json.at("connections").get<unsigned>();
    record.timeout = json.value("timeout", std::uint64_t{0});
    record.fresh = json.value("fresh", false);
    record.pid = json.at("pid").get<int>();
    record.keeper = json.value("keeper", 0);
    record.kernel_path = json.value("path", "") == "kernel";
    record.server_flags = json.value("server_flags", std::uint16_t{0});
    record.recovering = json.value("recovering", false);
    record.started = json.at("started").get<std::int64_t>();
    return record;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // written by another version, or by nobody of ours
  }
}

}  // namespace nbdring
