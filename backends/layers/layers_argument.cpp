#include "backends/layers/layers_argument.hpp"

#include <charconv>

#include "client/protocol/backend_spec.hpp"

namespace nbdring {

std::vector<LayerArgument::Part> LayerArgument::parts(char separator) const {
  std::vector<Part> parts;
  std::string_view rest = layer_.argument;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(separator));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      parts.push_back({"", std::string(part)});
    } else {
      parts.push_back({std::string(part.substr(0, equals)), std::string(part.substr(equals + 1))});
    }
    if (part.size() == rest.size()) break;
    rest.remove_prefix(part.size() + 1);
    if (rest.empty()) refuse("it ends with a separator");
  }
  return parts;
}

std::uint64_t LayerArgument::bytes(const std::string& value) const {
  try {
    return parse_size(value);
  } catch (const Failure&) {
    refuse("'" + value + "' is not a number of bytes");
  }
}

std::uint64_t LayerArgument::number(const std::string& value, std::uint64_t least,
                                    std::uint64_t most) const {
  std::uint64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end || number < least || number > most) {
    refuse("'" + value + "' is not a number from " + std::to_string(least) + " to " +
           std::to_string(most));
  }
  return number;
}

void LayerArgument::expect_none() const {
  if (!empty()) refuse("it takes no argument");
}

void LayerArgument::refuse(const std::string& problem) const {
  fail(FailureKind::usage, problem + "; write it as " + std::string(form_));
}

void LayerArgument::fail(FailureKind kind, const std::string& problem) const {
  const std::string written = layer_.name + (empty() ? "" : "=" + layer_.argument);
  throw Failure(kind, "--layer " + written + ": " + problem);
}

}  // namespace nbdring
