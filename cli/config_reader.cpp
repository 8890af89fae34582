#include "cli/config_reader.hpp"

#include <algorithm>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Quoted keys can have line breaks; a message has one line.
std::string shown(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return line;
}

}  // namespace

std::string ConfigReader::place(const toml::source_region& source) const {
  return file_ + ":" + std::to_string(source.begin.line);
}

void ConfigReader::fail(const toml::key& key, const std::string& problem) const {
  throw Failure(FailureKind::usage,
                place(key.source()) + ": '" + shown(key.str()) + "' " + problem);
}

void ConfigReader::unknown(const toml::key& key, const std::string& name) {
  warnings_.push_back(place(key.source()) + ": '" + shown(name) + "' is not known and is ignored");
}

const toml::table& ConfigReader::table(const toml::key& key, const toml::node& value) const {
  if (const toml::table* found = value.as_table()) return *found;
  fail(key, "is not a section; write [" + std::string(key.str()) + "]");
}

std::string ConfigReader::text(const toml::key& key, const toml::node& value) const {
  auto found = value.value_exact<std::string>();
  if (!found || found->empty()) fail(key, "is not a text in quotes");
  return std::move(*found);
}

std::string ConfigReader::absolute_path(const toml::key& key, const toml::node& value) const {
  auto path = value.value_exact<std::string>();
  if (!path || !path->starts_with('/')) fail(key, "is not an absolute path in quotes");
  return std::move(*path);
}

std::vector<std::string> ConfigReader::texts(const toml::key& key, const toml::node& value) const {
  std::vector<std::string> found;
  const toml::array* const array = value.as_array();
  if (array == nullptr) fail(key, "is not a list of texts; write [\"...\", \"...\"]");
  for (const toml::node& element : *array) {
    const auto one = element.value_exact<std::string>();
    if (!one || one->empty()) fail(key, "is not a list of texts; write [\"...\", \"...\"]");
    found.push_back(*one);
  }
  return found;
}

bool ConfigReader::flag(const toml::key& key, const toml::node& value) const {
  const auto found = value.value_exact<bool>();
  if (!found) fail(key, "is neither true nor false");
  return *found;
}

std::int64_t ConfigReader::number(const toml::key& key, const toml::node& value, std::int64_t least,
                                  std::uint64_t most) const {
  const auto found = value.value_exact<std::int64_t>();
  if (found && *found >= least && static_cast<std::uint64_t>(*found) <= most) return *found;
  fail(key, "is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
}

}  // namespace nbdring
