#pragma once
// What a line of the token store has sealed. All of it is padded to one length: neither content nor
// length tells the destination, nor which kind of line it is.

#include <chrono>
#include <optional>
#include <string>

#include "backends/websocket/token.hpp"
#include "backends/websocket/token_lines.hpp"

namespace nbdring {

inline constexpr std::size_t token_configuration_bytes_max = 128;
inline constexpr std::size_t token_label_bytes_max = 64;

/// What a token is good for.
struct TokenRights {
  std::string configuration;  // empty: the gateway's default one
  std::string label;          // whose it is, for the log; may be empty
  bool read_only = false;
  std::optional<std::chrono::sys_seconds> expires;  // nothing: never
  std::string predecessor;  // the id whose successor this is; empty: the first
};

/// Throws Failure (usage) when the texts are too long, or not printable in one line.
void check_rights(const TokenRights& rights);

/// Seals into a line whose other words are final.
void seal_rights(TokenLine& line, const Secret& secret, const TokenRights& rights);
/// Nothing when the secret is not the line's, or the line has been changed.
std::optional<TokenRights> open_rights(const TokenLine& line, const Secret& secret);

/// A spent line has its successor, for the holder of the spent token.
void seal_successor(TokenLine& line, const Secret& secret, const Token& successor);
std::optional<Token> open_successor(const TokenLine& line, const Secret& secret);

/// A line that no secret opens, and that takes as long to refuse as any other.
TokenLine line_of_nobody();

}  // namespace nbdring
