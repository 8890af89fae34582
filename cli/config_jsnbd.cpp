#include "cli/config_jsnbd.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t bytes_max = 1024 * 1024;
constexpr std::int64_t timeout_max = 3600;
constexpr std::int64_t grace_max = 86'400;

/// One object: its values by key, and which keys nobody asked for.
class Object {
 public:
  Object(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw Failure(FailureKind::usage, where_ + " " + problem);
  }
  const Json* find(const char* key) {
    known_.push_back(key);
    const auto found = json_.find(key);
    return found != json_.end() ? &*found : nullptr;
  }
  std::string text(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return {};
    if (value->is_string() && !value->get<std::string>().empty()) return value->get<std::string>();
    fail(std::string("has a '") + key + "' that is no text");
  }
  bool flag(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) fail(std::string("has a '") + key + "' that is no true or false");
    return value->get<bool>();
  }
  std::chrono::seconds seconds(const char* key, std::chrono::seconds otherwise, std::int64_t most) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    const bool is_number = value->is_number_integer() || value->is_number_unsigned();
    const std::int64_t number = is_number ? value->get<std::int64_t>() : 0;
    if (number >= 1 && number <= most) return std::chrono::seconds(number);
    fail(std::string("has a '") + key + "' that is no whole number from 1 to " +
         std::to_string(most));
  }
  void warn_of_others(std::vector<std::string>& warnings) const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      warnings.push_back(where_ + ": '" + key + "' is not known and is ignored");
    }
  }

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

GatewayConfiguration configuration_of(const std::string& name, const Json& json,
                                      const std::string& file, std::chrono::seconds timeout,
                                      std::vector<std::string>& warnings) {
  Object object(json, file + ": configuration '" + name + "'");
  GatewayConfiguration one;
  one.name = name;
  if (!is_configuration_name(name)) {
    object.fail("has a name that is not 1 to 64 letters, digits, '.', '_', '-'");
  }
  const std::string device = object.text("nbd-device");
  one.socket = object.text("socket");
  if (device.empty() == one.socket.empty()) {
    object.fail(device.empty() ? "has no 'nbd-device'" : "has both a device and a socket");
  }
  if (!device.empty()) {
    one.index = device_index(device);
    if (!one.index) object.fail("has an 'nbd-device' that is none: '" + device + "'");
  }
  one.is_default = object.flag("default");
  one.read_only = object.flag("read-only");
  one.timeout = timeout;
  one.grace = object.seconds("grace", one.grace, grace_max);
  if (const Json* metadata = object.find("metadata")) one.metadata = metadata->dump();
  object.warn_of_others(warnings);
  return one;
}

// As json-c prints by itself (JSON_C_TO_STRING_SPACED): that is what users of nbd-proxy parse.
void print_spaced(const Json& json, std::string& text);

void print_text(const std::string& value, std::string& text) {
  std::string quoted = Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
  for (const char c : quoted) text += c == '/' ? std::string("\\/") : std::string(1, c);
}

template <typename Elements, typename Print>
void print_list(const Elements& elements, char open, char close, std::string& text,
                const Print& print) {
  text += open;
  bool is_first = true;
  for (const auto& element : elements) {
    text += is_first ? " " : ", ";
    is_first = false;
    print(element);
  }
  text.append(" ").append(1, close);
}

void print_spaced(const Json& json, std::string& text) {
  if (json.is_object()) {
    print_list(json.items(), '{', '}', text, [&text](const auto& member) {
      print_text(member.key(), text);
      text += ": ";
      print_spaced(member.value(), text);
    });
  } else if (json.is_array()) {
    print_list(json, '[', ']', text, [&text](const Json& one) { print_spaced(one, text); });
  } else if (json.is_string()) {
    print_text(json.get<std::string>(), text);
  } else {
    text += json.dump();
  }
}

std::string read_all(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) fail_errno(FailureKind::failed, "cannot read the configuration " + path);
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const ssize_t bytes = ::read(file.get(), part.data(), part.size());
    if (bytes < 0) fail_errno(FailureKind::failed, "cannot read the configuration " + path);
    if (bytes == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(bytes));
    if (text.size() > bytes_max) {
      throw Failure(FailureKind::failed, "the configuration " + path + " is larger than 1 MiB");
    }
  }
}

}  // namespace

std::vector<GatewayConfiguration> parse_jsnbd_config(std::string_view text, const std::string& file,
                                                     std::vector<std::string>& warnings) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) throw Failure(FailureKind::usage, file + " is not JSON");
  Object root(json, file);
  const auto timeout = root.seconds("timeout", GatewayConfiguration().timeout, timeout_max);
  const Json* const configurations = root.find("configurations");
  if (configurations == nullptr || !configurations->is_object() || configurations->empty()) {
    root.fail("has no 'configurations'");
  }
  std::vector<GatewayConfiguration> found;
  for (const auto& [name, one] : configurations->items()) {
    found.push_back(configuration_of(name, one, file, timeout, warnings));
  }
  root.warn_of_others(warnings);
  settle_configurations(found, file);
  return found;
}

std::vector<GatewayConfiguration> read_jsnbd_config(const std::string& path,
                                                    std::vector<std::string>& warnings) {
  return parse_jsnbd_config(read_all(path), path, warnings);
}

std::string metadata_line(const std::vector<GatewayConfiguration>& configurations) {
  Json all = Json::object();
  for (const GatewayConfiguration& one : configurations) all[one.name] = Json::parse(one.metadata);
  std::string line;
  print_spaced(all, line);
  return line;
}

}  // namespace nbdring
