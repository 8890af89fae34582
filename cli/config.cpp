#include "cli/config.hpp"

#include <utility>

#include "cli/config_reader.hpp"
#include "cli/options.hpp"
#include "cli/trusted_file.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

/// Takes a table apart; what no part has asked for is unknown.
class Section {
 public:
  Section(Config& config, const std::string& file)
      : config_(config), reader_(file, config.warnings) {}

  void read(const toml::table& root) {
    for (const auto& [key, value] : root) {
      if (key == "aliases") {
        for (const auto& [name, target] : reader_.table(key, value)) add_alias(name, target);
      } else if (key == "attach") {
        for (const auto& [name, number] : reader_.table(key, value))
          add_attach_default(name, number);
      } else if (key == "tls") {
        for (const auto& [name, text] : reader_.table(key, value)) add_tls_default(name, text);
      } else if (key == "gateway") {
        config_.gateway = read_gateway(reader_.table(key, value), reader_);
      } else {
        reader_.unknown(key, std::string(key.str()));
      }
    }
  }

 private:
  void add_alias(const toml::key& name, const toml::node& target) {
    const auto text = target.value_exact<std::string>();
    if (!is_backend_name(name.str())) {
      reader_.fail(
          name,
          "cannot be a name: it has a '/', ':', ';' or white space, or begins with '.' or '-'");
    }
    if (!text || text->empty())
      reader_.fail(name, "is not a backend in quotes; write NAME = \"URI\"");
    config_.aliases.emplace(name.str(), Alias{*text, reader_.place(name.source())});
  }

  void add_attach_default(const toml::key& name, const toml::node& value) {
    AttachDefaults& attach = config_.attach;
    if (name == "connections") {
      attach.connections = static_cast<unsigned>(reader_.number(name, value, 1, connections_max));
    } else if (name == "timeout") {
      attach.timeout = std::chrono::seconds(reader_.number(name, value, 1, seconds_max));
    } else if (name == "recovery-window") {
      attach.recovery_window = std::chrono::seconds(reader_.number(name, value, 0, seconds_max));
    } else {
      reader_.unknown(name, "attach." + std::string(name.str()));
    }
  }

  void add_tls_default(const toml::key& name, const toml::node& value) {
    TlsDefaults& tls = config_.tls;
    if (name == "psk-file") {
      tls.psk_file = reader_.absolute_path(name, value);
    } else if (name == "certificates") {
      tls.certificates = reader_.absolute_path(name, value);
    } else if (name == "priority") {
      tls.priority = value.value_exact<std::string>();
      if (tls.priority.value_or("").empty()) reader_.fail(name, "is not a text in quotes");
    } else {
      reader_.unknown(name, "tls." + std::string(name.str()));
    }
    if (tls.psk_file && tls.certificates) {
      reader_.fail(name, "is the second kind of keys; leave psk-file or certificates out");
    }
  }

  Config& config_;
  ConfigReader reader_;
};

}  // namespace

Config parse_config(std::string_view text, const std::string& file) {
  Config config;
  try {
    Section(config, file).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw Failure(FailureKind::usage, file + ":" + std::to_string(error.source().begin.line) +
                                          ": " + std::string(error.description()));
  }
  return config;
}

std::optional<Config> read_config(const std::string& path, uid_t user) {
  if (path == "/dev/null") return Config{};
  const auto text = read_trusted_file(path, user, "the configuration");
  if (!text) return std::nullopt;
  return parse_config(*text, path);
}

}  // namespace nbdring
