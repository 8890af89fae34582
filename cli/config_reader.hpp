#pragma once
// Takes a TOML table apart, strictly: what is of another type, or out of its range, is a Failure
// (usage) "FILE:LINE: 'KEY' is not ..."; what nobody asks for is a warning. For cli/config*.cpp.

#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nbdring {

class ConfigReader {
 public:
  /// Both outlive it.
  ConfigReader(const std::string& file, std::vector<std::string>& warnings)
      : file_(file), warnings_(warnings) {}

  /// "FILE:LINE".
  std::string place(const toml::source_region& source) const;
  [[noreturn]] void fail(const toml::key& key, const std::string& problem) const;
  void unknown(const toml::key& key, const std::string& name);

  const toml::table& table(const toml::key& key, const toml::node& value) const;
  std::string text(const toml::key& key, const toml::node& value) const;  // not empty
  std::string absolute_path(const toml::key& key, const toml::node& value) const;
  std::vector<std::string> texts(const toml::key& key, const toml::node& value) const;
  bool flag(const toml::key& key, const toml::node& value) const;
  std::int64_t number(const toml::key& key, const toml::node& value, std::int64_t least,
                      std::uint64_t most) const;

 private:
  const std::string& file_;
  std::vector<std::string>& warnings_;
};

struct GatewaySettings;

/// [gateway].
GatewaySettings read_gateway(const toml::table& section, ConfigReader& reader);

}  // namespace nbdring
