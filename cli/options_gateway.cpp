// What the words of `gateway` and `proxy` mean.

#include "cli/options_words.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

std::optional<std::string> path_of(const CommandWords& words, const std::string& name) {
  if (!words.has(name)) return std::nullopt;
  const std::string& path = words.values.at(name);
  if (!path.empty()) return path;
  throw Failure(FailureKind::usage, name + ": '' is not a path; name one, or leave it out");
}

}  // namespace

GatewayCommand gateway_of(const CommandWords& words) {
  GatewayCommand command;
  for (const std::string& text : words.lists.at("--listen")) {
    command.listen.push_back(parse_endpoint("--listen", text));
  }
  command.unix_paths = words.lists.at("--unix");
  command.insecure = words.flags.at("--insecure");
  command.tls = server_tls_of(words);
  command.json_config = path_of(words, "--json-config");
  command.tokens = path_of(words, "--tokens");
  command.state_dir = path_of(words, "--state-dir");
  return command;
}

ProxyCommand proxy_of(const CommandWords& words) {
  ProxyCommand command;
  command.configuration = words.values.at("CONFIGURATION");
  command.metadata = words.flags.at("--metadata");
  command.json_config = path_of(words, "--json-config");
  command.state_dir = path_of(words, "--state-dir");
  return command;
}

}  // namespace nbdring
