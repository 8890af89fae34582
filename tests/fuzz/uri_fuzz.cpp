// Any text as a URI: a Uri whose canonical text reads as the same Uri, or one line that says what
// is wrong.

#include "client/protocol/uri.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

void check(const Uri& uri) {
  ENSURE(scheme_of(uri.scheme + ":") == uri.scheme);
  ENSURE(!has_nul(uri.host) && !has_nul(uri.path) && !has_nul(uri.user.value_or("")));
  ENSURE(uri.has_authority || (uri.host.empty() && !uri.user && !uri.port));
  ENSURE(!uri.has_authority || uri.path.empty() || uri.path.front() == '/');
  ENSURE(!uri.port || *uri.port > 0);
  for (const auto& [name, value] : uri.parameters) {
    ENSURE(!name.empty() && !has_nul(name));
    ENSURE(!has_nul(value) || (name == "socket" && value.rfind('\0') == 0));
  }
  const std::string text = to_text(uri);
  for (const char c : text) ENSURE(c > ' ' && c < 0x7f);
  ENSURE(parse_uri(text) == uri);
  ENSURE(to_text(parse_uri(text)) == text);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size);
  try {
    check(parse_uri(input.rest_as_text()));
  } catch (const Failure& failure) {
    ENSURE(failure.kind() == FailureKind::usage && *failure.what() != '\0');
  }
  return 0;
}

}  // namespace nbdring
