#pragma once
// What `nbdring token` was asked to do.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace nbdring {

enum class TokenAction { create, list, revoke };

struct TokenCommand {
  TokenAction action = TokenAction::list;
  std::string id;  // revoke: which one; empty with all
  bool all = false;
  bool json = false;
  std::optional<std::string> store;  // its path
  std::string configuration;         // create: empty: the gateway's default one
  std::string label;
  bool read_only = false;
  std::optional<std::chrono::minutes> expires;  // create: from now; nothing: never
  std::string url;                              // create: of the gateway, for a link; empty: none
};

/// "never", or a whole number with m, h, d or w (minutes to weeks), up to ten years. Throws Failure
/// (usage).
std::optional<std::chrono::minutes> parse_lifetime(std::string_view option, std::string_view value);

/// The address of a gateway as a browser takes it, without a fragment. Throws Failure (usage).
std::string parse_gateway_url(std::string_view option, std::string_view value);

}  // namespace nbdring
