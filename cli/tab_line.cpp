#include "cli/tab_line.hpp"

#include <algorithm>

#include "client/runtime/error.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {
namespace {

constexpr std::string_view blanks = " \t\r";

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// As fstab's: a backslash and three octal digits.
std::string decoded(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (text.front() != '\\') {
      result += text.front();
      text.remove_prefix(1);
      continue;
    }
    if (text.size() < 4 || !std::all_of(text.begin() + 1, text.begin() + 4, is_octal)) {
      throw Failure(FailureKind::usage, "'" + std::string(text.substr(0, 4)) +
                                            "' is not a backslash and three octal digits; a "
                                            "backslash itself is \\134");
    }
    const int value = (text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0');
    if (value == 0 || value > 0xff) {
      throw Failure(FailureKind::usage,
                    "'" + std::string(text.substr(0, 4)) + "' stands for no byte of a text");
    }
    result += static_cast<char>(value);
    text.remove_prefix(4);
  }
  return result;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos || line[begin] == '#') return fields;
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

TabOption option_of(std::string_view text) {
  const std::size_t equals = text.find('=');
  TabOption option{decoded(text.substr(0, equals)), std::nullopt};
  if (equals != std::string_view::npos) option.value = decoded(text.substr(equals + 1));
  return option;
}

std::vector<TabOption> options_of_field(std::string_view field) {
  std::vector<TabOption> options;
  while (true) {
    const std::size_t comma = field.find(',');
    const std::string_view text = field.substr(0, comma);
    if (text.empty() || text.front() == '=') {
      throw Failure(FailureKind::usage, "an option without a name between the commas");
    }
    options.push_back(option_of(text));
    if (comma == std::string_view::npos) return options;
    field.remove_prefix(comma + 1);
  }
}

}  // namespace

TabFields split_tab_line(std::string_view line) {
  TabFields result;
  const auto fields = fields_of(line);
  if (fields.empty()) return result;
  const std::size_t words = device_index(decoded(fields.front())) ? 3 : 2;
  for (const std::string_view field : fields) {
    if (result.words.size() < words) {
      result.words.push_back(decoded(field));
    } else if (result.options.empty()) {
      result.options = options_of_field(field);
    } else {
      throw Failure(FailureKind::usage, "'" + std::string(field) +
                                            "' is a field too many; write a space inside as \\040");
    }
  }
  return result;
}

bool TabLines::next() {
  if (rest_.empty()) return false;
  const std::size_t end = rest_.find('\n');
  line_ = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  ++number_;
  return true;
}

}  // namespace nbdring
