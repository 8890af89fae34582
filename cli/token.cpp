// nbdring token: one-time tokens for the gateway. Standard output has what was asked for and
// nothing else: a token goes straight into a file or a message.

#include <nlohmann/json.hpp>

#include "backends/websocket/token_store.hpp"
#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Where the gateway looks for it, too.
std::string path_of_store(const TokenCommand& command, const CommonOptions& common) {
  if (command.store) return *command.store;
  Log log = common.log();
  return config_of(common, log).gateway.tokens.value_or(default_token_store);
}

int create(const TokenStore& store, const TokenCommand& command) {
  TokenRights rights;
  rights.configuration = command.configuration;
  rights.label = command.label;
  rights.read_only = command.read_only;
  if (command.expires) {
    rights.expires = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() +
                                                              *command.expires);
  }
  const Token token = store.create(rights);
  print(token.text() + "\n");
  if (!command.url.empty()) print(command.url + "#t=" + token.text('.') + "\n");
  return 0;
}

const char* word_of(TokenState state) { return state == TokenState::valid ? "valid" : "spent"; }

std::string expiry_of(const TokenLine& line) {
  return line.expires ? to_text(*line.expires) : "never";
}

std::string list_table(const TokenLines& lines) {
  if (lines.empty()) return "";
  Table table({"ID", "STATE", "CREATED", "EXPIRES"}, {false, false, false, false});
  for (const TokenLine& line : lines) {
    table.add({line.id, word_of(line.state), to_text(line.created), expiry_of(line)});
  }
  return table.text();
}

std::string list_json(const TokenLines& lines) {
  auto array = nlohmann::ordered_json::array();
  for (const TokenLine& line : lines) {
    nlohmann::ordered_json token;
    token["id"] = line.id;
    token["state"] = word_of(line.state);
    token["created"] = to_text(line.created);
    token["expires"] = line.expires ? nlohmann::ordered_json(to_text(*line.expires)) : nullptr;
    array.push_back(std::move(token));
  }
  return array.dump(2) + "\n";
}

int list(const TokenStore& store, const TokenCommand& command) {
  const TokenLines lines = store.list();
  print(command.json ? list_json(lines) : list_table(lines));
  return 0;
}

int revoke(const TokenStore& store, const TokenCommand& command) {
  if (command.all) {
    store.revoke_all();
    return 0;
  }
  if (store.revoke(command.id)) return 0;
  throw Failure(FailureKind::not_found, "there is no token " + command.id +
                                            "; `nbdring token list` shows those that there are");
}

}  // namespace

int run_token(const TokenCommand& command, const CommonOptions& common) {
  const TokenStore store(path_of_store(command, common));
  if (command.action == TokenAction::create) return create(store, command);
  if (command.action == TokenAction::revoke) return revoke(store, command);
  return list(store, command);
}

}  // namespace nbdring
