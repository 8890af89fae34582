// What the words of `token` mean.

#include <array>
#include <utility>

#include "backends/websocket/token.hpp"
#include "cli/options_words.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::minutes default_lifetime = std::chrono::days(30);

// Which options go with one action only.
constexpr std::array<std::pair<const char*, TokenAction>, 8> belongings{
    {{"--configuration", TokenAction::create},
     {"--label", TokenAction::create},
     {"--read-only", TokenAction::create},
     {"--expires", TokenAction::create},
     {"--url", TokenAction::create},
     {"--json", TokenAction::list},
     {"--all", TokenAction::revoke},
     {"ID", TokenAction::revoke}}};

TokenAction action_of(const std::string& word) {
  if (word == "create") return TokenAction::create;
  if (word == "list") return TokenAction::list;
  if (word == "revoke") return TokenAction::revoke;
  throw Failure(FailureKind::usage, "token: '" + word + "' is not create, list or revoke");
}

void check_belongings(const CommandWords& words, TokenAction action, const std::string& word) {
  for (const auto& [option, owner] : belongings) {
    if (owner == action || !words.has(option)) continue;
    const std::string what =
        std::string(option) == "ID" ? "'" + words.values.at("ID") + "'" : std::string(option);
    throw Failure(FailureKind::usage, "token " + word + ": " + what +
                                          " is not understood here; see `nbdring token --help`");
  }
}

// Which token; a whole "id:secret" is not asked for, and not repeated in a message.
void set_revoked(TokenCommand& command, const CommandWords& words) {
  command.all = words.flags.at("--all");
  command.id = words.values.at("ID");
  if (command.all != command.id.empty()) {
    throw Failure(FailureKind::usage,
                  "token revoke: say either an ID, as `nbdring token list` shows it, or --all");
  }
  if (command.all || is_token_id(command.id)) return;
  throw Failure(FailureKind::usage,
                "token revoke: that is no id; it is the part of a token before the ':', 16 "
                "hexadecimal digits");
}

}  // namespace

TokenCommand token_of(const CommandWords& words) {
  const auto& values = words.values;
  const std::string word =
      words.positional("ACTION", "create, list or revoke, e.g. `nbdring token create`");
  TokenCommand command;
  command.action = action_of(word);
  check_belongings(words, command.action, word);
  if (words.has("--store")) command.store = values.at("--store");
  if (command.store && command.store->empty()) {
    throw Failure(FailureKind::usage, "--store: '' is not a path; name one, or leave it out");
  }
  command.configuration = values.at("--configuration");
  command.label = values.at("--label");
  command.read_only = words.flags.at("--read-only");
  command.json = words.flags.at("--json");
  command.expires = default_lifetime;
  if (words.has("--expires")) {
    command.expires = parse_lifetime("--expires", values.at("--expires"));
  }
  if (words.has("--url")) command.url = parse_gateway_url("--url", values.at("--url"));
  if (command.action == TokenAction::revoke) set_revoked(command, words);
  return command;
}

}  // namespace nbdring
