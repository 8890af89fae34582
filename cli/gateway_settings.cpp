#include "cli/gateway_settings.hpp"

#include <algorithm>
#include <set>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t name_max = 64;

void settle_paths(GatewayConfiguration& one, std::set<std::string>& taken,
                  const std::string& where) {
  if (one.paths.empty()) one.paths.push_back("/" + one.name);
  for (const std::string& path : one.paths) {
    if (taken.insert(path).second) continue;
    throw Failure(FailureKind::usage, where + ": configuration '" + one.name + "' has the path '" +
                                          path + "', which another one has; choose another");
  }
}

}  // namespace

bool is_configuration_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= name_max && name != "." && name != ".." &&
         name.front() != '-' && std::all_of(name.begin(), name.end(), is_allowed);
}

void settle_configurations(std::vector<GatewayConfiguration>& configurations,
                           const std::string& where) {
  std::set<std::string> paths;
  const GatewayConfiguration* default_one = nullptr;
  for (GatewayConfiguration& one : configurations) {
    settle_paths(one, paths, where);
    if (!one.is_default) continue;
    if (default_one != nullptr) {
      throw Failure(FailureKind::usage, where + ": two configurations say they are the default, '" +
                                            default_one->name + "' and '" + one.name +
                                            "'; leave one");
    }
    default_one = &one;
  }
  if (configurations.size() == 1) configurations.front().is_default = true;
}

const GatewayConfiguration* find_configuration(
    const std::vector<GatewayConfiguration>& configurations, const std::string& name) {
  const auto found = std::find_if(configurations.begin(), configurations.end(),
                                  [&name](const GatewayConfiguration& one) {
                                    return name.empty() ? one.is_default : one.name == name;
                                  });
  return found != configurations.end() ? &*found : nullptr;
}

}  // namespace nbdring
