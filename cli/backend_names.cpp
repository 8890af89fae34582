#include "cli/backend_names.hpp"

#include <algorithm>
#include <vector>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::size_t aliases_in_a_row_max = 8;
constexpr std::string_view white_space = " \t\r\n";
constexpr std::string_view routes = "NBDRING_ROUTES";

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white_space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

[[noreturn]] void fail(std::string_view section, std::string_view problem) {
  std::string shown(section);
  std::replace_if(shown.begin(), shown.end(), is_control, ' ');
  throw Failure(FailureKind::usage, std::string(routes) + ": '" + shown + "' " +
                                        std::string(problem) +
                                        "; write it as \"NAME URI;NAME URI\"");
}

void add_route(Aliases& aliases, std::string_view section) {
  const std::string_view name = section.substr(0, section.find_first_of(white_space));
  const std::string_view target = trimmed(section.substr(name.size()));
  if (!is_backend_name(name)) fail(section, "does not begin with a name");
  if (target.empty()) fail(section, "is a name without a URI");
  if (std::any_of(target.begin(), target.end(), is_control)) {
    fail(section, "has a line break or another control character in its URI");
  }
  const Alias alias{std::string(target), std::string(routes)};
  if (!aliases.emplace(name, alias).second) fail(section, "gives its name a second time");
}

std::string way_of(const std::vector<std::string>& names) {
  std::string way;
  for (const std::string& name : names) way.append(way.empty() ? "" : " -> ").append(name);
  return way;
}

}  // namespace

bool is_backend_name(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.front() == '-') return false;
  return std::none_of(text.begin(), text.end(), [](char c) {
    return is_control(c) || std::string_view("/:; ").find(c) != std::string_view::npos;
  });
}

Aliases parse_routes(std::string_view text) {
  Aliases aliases;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find(';'), text.size());
    const std::string_view section = trimmed(text.substr(0, length));
    if (!section.empty()) add_route(aliases, section);
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return aliases;
}

ResolvedName resolve_backend_name(const std::string& argument, const Aliases& aliases) {
  ResolvedName resolved{argument, {}};
  std::vector<std::string> names;
  for (auto alias = aliases.find(argument); alias != aliases.end();
       alias = aliases.find(resolved.text)) {
    const auto& [name, meaning] = *alias;
    const bool is_circle = std::find(names.begin(), names.end(), name) != names.end();
    names.push_back(name);
    if (is_circle) {
      throw Failure(FailureKind::usage, "the alias '" + name + "' (" + meaning.origin +
                                            ") leads back to itself: " + way_of(names) +
                                            "; write ./NAME where a file is meant");
    }
    if (names.size() > aliases_in_a_row_max) {
      throw Failure(FailureKind::usage,
                    "'" + argument + "' is more than " + std::to_string(aliases_in_a_row_max) +
                        " aliases deep: " + way_of(names) + "; let it name the backend itself");
    }
    resolved = {meaning.target, name + " (" + meaning.origin + ")"};
  }
  return resolved;
}

}  // namespace nbdring
