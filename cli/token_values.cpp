// The values that only `nbdring token` takes.

#include <algorithm>
#include <array>
#include <utility>

#include "cli/token_command.hpp"
#include "cli/values.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::array<std::pair<char, std::uint64_t>, 4> minutes_each{
    {{'m', 1}, {'h', 60}, {'d', 24 * 60}, {'w', 7 * 24 * 60}}};
constexpr std::uint64_t minutes_max = 3650ULL * 24 * 60;

}  // namespace

std::optional<std::chrono::minutes> parse_lifetime(std::string_view option,
                                                   std::string_view value) {
  if (value == "never") return std::nullopt;
  for (const auto& [unit, minutes] : minutes_each) {
    if (value.size() < 2 || value.back() != unit) continue;
    const std::string_view number = value.substr(0, value.size() - 1);
    if (!std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      break;
    }
    const std::uint64_t count = parse_number(option, number, 1, minutes_max / minutes);
    return std::chrono::minutes(count * minutes);
  }
  throw Failure(FailureKind::usage, std::string(option) + ": '" + std::string(value) +
                                        "' is no time; say e.g. 30m, 12h, 7d, 4w or never");
}

std::string parse_gateway_url(std::string_view option, std::string_view value) {
  const bool is_web = value.starts_with("https://") || value.starts_with("http://");
  const bool is_plain = std::all_of(value.begin(), value.end(),
                                    [](char c) { return c > ' ' && c < '\x7f' && c != '#'; });
  const std::size_t host = value.find("//") + 2;
  if (is_web && is_plain && host < value.size() && value[host] != '/') return std::string(value);
  throw Failure(FailureKind::usage, std::string(option) + ": '" + std::string(value) +
                                        "' is no address of a gateway; say https://HOST[:PORT]/, "
                                        "without '#'");
}

}  // namespace nbdring
