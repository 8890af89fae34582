#include "backends/websocket/token_lines.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <tuple>

#include "backends/websocket/token.hpp"
#include "client/runtime/error.hpp"
#include "client/transport/tls_seal.hpp"

namespace nbdring {
namespace {

constexpr std::string_view first_line = "nbdring-tokens 1";
constexpr std::array<std::pair<TokenState, std::string_view>, 2> states{
    {{TokenState::valid, "valid"}, {TokenState::spent, "spent"}}};

std::string_view take_until(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return taken;
}

std::optional<int> parse_digits(std::string_view text, std::size_t count) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  const bool is_good = text.size() == count && error == std::errc() && last == end && value >= 0;
  return is_good ? std::optional(value) : std::nullopt;
}

std::optional<Day> parse_day(std::string_view text) {
  const auto year = parse_digits(take_until(text, '-'), 4);
  const auto month = parse_digits(take_until(text, '-'), 2);
  const auto day = parse_digits(text, 2);
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  return date.ok() ? std::optional(Day(date)) : std::nullopt;
}

std::optional<TokenState> parse_state(std::string_view text) {
  for (const auto& [state, word] : states) {
    if (word == text) return state;
  }
  return std::nullopt;
}

std::optional<TokenLine> parse_line(std::string_view text) {
  if (text.size() >= token_line_bytes_max) return std::nullopt;
  const auto state = parse_state(take_until(text, ' '));
  const std::string_view id = take_until(text, ' ');
  const auto created = parse_day(take_until(text, ' '));
  const std::string_view expires = take_until(text, ' ');
  auto sealed = decode_base64url(text);
  if (!state || !is_token_id(id) || !created || !sealed || sealed->empty()) return std::nullopt;
  TokenLine line{*state, std::string(id), *created, std::nullopt, std::move(*sealed)};
  if (expires == "-") return line;
  line.expires = parse_day(expires);
  return line.expires ? std::optional(std::move(line)) : std::nullopt;
}

std::tuple<std::string_view, TokenState> key_of(const TokenLine& line) {
  return {line.id, line.state};
}

bool is_before(const TokenLine& left, const TokenLine& right) {
  return key_of(left) < key_of(right);
}

}  // namespace

std::string to_text(Day day) {
  const std::chrono::year_month_day date(day);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text.data();
}

std::string TokenLine::clear_words() const {
  const std::string_view word = states.at(static_cast<std::size_t>(state)).second;
  return std::string(word) + " " + id + " " + to_text(created) + " " +
         (expires ? to_text(*expires) : "-");
}

TokenLines parse_token_lines(std::string_view text, const std::string& path) {
  TokenLines lines;
  if (text.empty()) return lines;
  const auto fail = [&path](std::size_t number) {
    throw Failure(FailureKind::failed, path + ":" + std::to_string(number) +
                                           ": not a line of a token store; move the file away, "
                                           "and make new tokens");
  };
  if (text.back() != '\n' || take_until(text, '\n') != first_line) fail(1);
  for (std::size_t number = 2; !text.empty(); ++number) {
    auto line = parse_line(take_until(text, '\n'));
    if (!line || lines.size() == 2 * token_lines_max) fail(number);
    if (!lines.empty() && !is_before(lines.back(), *line)) fail(number);
    lines.push_back(std::move(*line));
  }
  return lines;
}

std::string format_token_lines(const TokenLines& lines) {
  std::string text = std::string(first_line) + "\n";
  for (const TokenLine& line : lines) {
    const std::size_t start = text.size();
    text += line.clear_words() + " " + encode_base64url(line.sealed) + "\n";
    ENSURE(text.size() - start <= token_line_bytes_max);
  }
  return text;
}

const TokenLine* find_line(const TokenLines& lines, TokenState state, std::string_view id) {
  const auto at = std::find_if(lines.begin(), lines.end(), [&](const TokenLine& line) {
    return line.state == state && line.id == id;
  });
  return at != lines.end() ? &*at : nullptr;
}

void add_line(TokenLines& lines, TokenLine line) {
  const auto at = std::lower_bound(lines.begin(), lines.end(), line, &is_before);
  ENSURE(at == lines.end() || key_of(*at) != key_of(line));
  lines.insert(at, std::move(line));
}

bool remove_line(TokenLines& lines, TokenState state, std::string_view id) {
  return std::erase_if(lines, [&](const TokenLine& line) {
           return line.state == state && line.id == id;
         }) > 0;
}

std::size_t count_lines(const TokenLines& lines, TokenState state) {
  return static_cast<std::size_t>(std::count_if(
      lines.begin(), lines.end(), [state](const TokenLine& line) { return line.state == state; }));
}

void prune_lines(TokenLines& lines, Day today) {
  std::erase_if(lines,
                [today](const TokenLine& line) { return line.expires && *line.expires < today; });
  while (count_lines(lines, TokenState::spent) > token_lines_max) {
    lines.erase(
        std::min_element(lines.begin(), lines.end(), [](const auto& left, const auto& right) {
          return std::tuple(left.state == TokenState::valid, left.created) <
                 std::tuple(right.state == TokenState::valid, right.created);
        }));
  }
}

}  // namespace nbdring
