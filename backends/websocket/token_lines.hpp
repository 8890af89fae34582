#pragma once
// The store's file as text: what stands in the clear, and nothing else. Pure.
//
//   nbdring-tokens 1
//   valid ID CREATED EXPIRES SEALED
//   spent ID CREATED EXPIRES SEALED
//
// ID names a token, and says nothing. CREATED and EXPIRES are days (UTC; EXPIRES "-": never) so
// that `list` and pruning need no secret; the exact expiry is sealed. Days, not seconds: a token
// dies in the moment when its successor is born, and equal seconds would tell who follows whom.
// For the same reason the lines are in the order of their ids, which are random. SEALED has the
// same length in every line (token_rights.hpp), and opens only together with the line's other
// words: nobody can lengthen a token's life, or put one token's destination under another's id.
//
// Limits: lines_max of each kind, each shorter than line_bytes_max; so the whole stays below what
// is read of a file with keys.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/transport/tls_secret.hpp"

namespace nbdring {

using Day = std::chrono::sys_days;

enum class TokenState {
  valid,  // lets its holder in, once
  spent,  // was used, and it is not known yet whether its successor has arrived
};

struct TokenLine {
  TokenState state = TokenState::valid;
  std::string id;
  Day created{};
  std::optional<Day> expires;  // the last day; nothing: never
  std::vector<std::byte> sealed;

  /// All but what is sealed: what the sealing is bound to.
  std::string clear_words() const;
};

inline constexpr std::size_t token_lines_max = 1024;
inline constexpr std::size_t token_line_bytes_max = 500;
static_assert(2 * token_lines_max * token_line_bytes_max + 64 <= key_file_bytes_max);

/// Kept in the order of ids.
using TokenLines = std::vector<TokenLine>;

/// Throws Failure (failed) with the path and the line's number where the text is none of ours.
TokenLines parse_token_lines(std::string_view text, const std::string& path);
std::string format_token_lines(const TokenLines& lines);

/// By id and state; nothing when there is none.
const TokenLine* find_line(const TokenLines& lines, TokenState state, std::string_view id);
void add_line(TokenLines& lines, TokenLine line);
/// Whether there was one.
bool remove_line(TokenLines& lines, TokenState state, std::string_view id);
std::size_t count_lines(const TokenLines& lines, TokenState state);

/// Removes those whose last day is over, and of the spent ones the oldest beyond the limit.
void prune_lines(TokenLines& lines, Day today);

/// "2026-11-21".
std::string to_text(Day day);

}  // namespace nbdring
