// [gateway] and [gateway.configurations.NAME] of the configuration file (gateway_settings.hpp).

#include <functional>
#include <map>
#include <sstream>
#include <string_view>

#include "backends/layers/layer.hpp"
#include "cli/config_reader.hpp"
#include "cli/gateway_settings.hpp"
#include "cli/options.hpp"
#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t size_max = (1ULL << 63) - 1;
constexpr std::uint64_t wait_seconds_max = 3600;

/// One section: what is done with the value of each key that it knows.
class Keys {
 public:
  using Take = std::function<void(const toml::key& key, const toml::node& value)>;

  explicit Keys(ConfigReader& reader) : reader_(reader) {}

  void add(std::string_view key, Take take) { takes_.emplace(key, std::move(take)); }
  void add_path(std::string_view key, std::string& to) {
    add(key, [this, &to](auto& name, auto& value) { to = reader_.absolute_path(name, value); });
  }
  void add_flag(std::string_view key, bool& to) {
    add(key, [this, &to](auto& name, auto& value) { to = reader_.flag(name, value); });
  }
  void add_texts(std::string_view key, std::vector<std::string>& to) {
    add(key, [this, &to](auto& name, auto& value) { to = reader_.texts(name, value); });
  }
  void add_seconds(std::string_view key, std::chrono::seconds& to, std::uint64_t most) {
    add(key, [this, &to, most](auto& name, auto& value) {
      to = std::chrono::seconds(reader_.number(name, value, 1, most));
    });
  }

  void read(const toml::table& section, const std::string& name) {
    for (const auto& [key, value] : section) {
      const auto take = takes_.find(key.str());
      if (take == takes_.end()) {
        reader_.unknown(key, name + "." + std::string(key.str()));
      } else {
        take->second(key, value);
      }
    }
  }

 private:
  ConfigReader& reader_;
  std::map<std::string, Take, std::less<>> takes_;
};

// A text that is refused says where it stands.
template <typename Parse>
auto parsed(ConfigReader& reader, const toml::key& key, const Parse& parse) {
  try {
    return parse();
  } catch (const Failure& failure) {
    reader.fail(key, std::string("is refused: ") + failure.what());
  }
}

std::vector<std::string> paths_of(ConfigReader& reader, const toml::key& key,
                                  std::vector<std::string> paths) {
  for (const std::string& path : paths) {
    if (!path.starts_with('/')) reader.fail(key, "has a path that does not begin with '/'");
  }
  return paths;
}

std::string json_of(const toml::table& table) {
  std::ostringstream text;
  text << toml::json_formatter(table);
  return text.str();
}

void add_front(Keys& keys, ConfigReader& reader, GatewayConfiguration& one) {
  keys.add("device", [&](auto& key, auto& value) {
    const std::string device = reader.text(key, value);
    if (device == "auto") return;
    one.index = device_index(device);
    if (!one.index) reader.fail(key, "is not a device; write \"/dev/nbdN\" or \"auto\"");
  });
  keys.add_path("socket", one.socket);
  keys.add("path", [&](auto& key, auto& value) {
    one.paths = paths_of(reader, key, {reader.text(key, value)});
  });
  keys.add("paths", [&](auto& key, auto& value) {
    one.paths = paths_of(reader, key, reader.texts(key, value));
  });
}

void add_limits(Keys& keys, ConfigReader& reader, GatewayConfiguration& one) {
  keys.add_flag("read-only", one.read_only);
  keys.add("size-min", [&](auto& key, auto& value) {
    one.size_min = static_cast<std::uint64_t>(reader.number(key, value, 0, size_max));
  });
  keys.add("size-max", [&](auto& key, auto& value) {
    one.size_max = static_cast<std::uint64_t>(reader.number(key, value, 1, size_max));
  });
  keys.add("connections", [&](auto& key, auto& value) {
    one.connections = static_cast<unsigned>(reader.number(key, value, 1, connections_max));
  });
  keys.add_seconds("timeout", one.timeout, wait_seconds_max);
  keys.add_seconds("grace", one.grace, seconds_max);
}

GatewayConfiguration read_configuration(const toml::key& name, const toml::table& section,
                                        ConfigReader& reader) {
  GatewayConfiguration one;
  one.name = name.str();
  if (!is_configuration_name(one.name)) {
    reader.fail(name, "cannot be a configuration's name: 1 to 64 letters, digits, '.', '_', '-'");
  }
  Keys keys(reader);
  add_front(keys, reader, one);
  add_limits(keys, reader, one);
  keys.add_flag("default", one.is_default);
  keys.add_texts("users", one.users);
  keys.add("layers", [&](auto& key, auto& value) {
    const auto texts = reader.texts(key, value);
    one.layers = parsed(reader, key, [&texts] { return parse_layers(texts); });
  });
  keys.add("metadata",
           [&](auto& key, auto& value) { one.metadata = json_of(reader.table(key, value)); });
  keys.read(section, "gateway.configurations." + one.name);
  if (!one.socket.empty() && section.contains("device")) {
    reader.fail(name, "has both a device and a socket; leave one");
  }
  if (one.size_max && *one.size_max < one.size_min) {
    reader.fail(name, "has a size-max below its size-min");
  }
  return one;
}

}  // namespace

GatewaySettings read_gateway(const toml::table& section, ConfigReader& reader) {
  GatewaySettings settings;
  Keys keys(reader);
  keys.add("listen", [&](auto& key, auto& value) {
    for (const std::string& text : reader.texts(key, value)) {
      settings.listen.push_back(
          parsed(reader, key, [&text] { return parse_endpoint("listen", text); }));
    }
  });
  keys.add_path("tls-certificates", settings.tls_certificates);
  keys.add_path("tls-psk-file", settings.tls_psk_file);
  keys.add_flag("tls-verify-peer", settings.tls_verify_peer);
  keys.add_flag("insecure", settings.insecure);
  keys.add("tokens",
           [&](auto& key, auto& value) { settings.tokens = reader.absolute_path(key, value); });
  keys.add_texts("origins", settings.origins);
  keys.add_path("state-dir", settings.state_dir);
  keys.add_seconds("hook-timeout", settings.hook_timeout, wait_seconds_max);
  keys.add("configurations", [&](auto& key, auto& value) {
    for (const auto& [name, one] : reader.table(key, value)) {
      settings.configurations.push_back(read_configuration(name, reader.table(name, one), reader));
    }
  });
  keys.read(section, "gateway");
  const std::string where = reader.place(section.source());
  settle_configurations(settings.configurations, where);
  return settings;
}

}  // namespace nbdring
