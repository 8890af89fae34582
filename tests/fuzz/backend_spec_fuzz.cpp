// Any text as a backend argument: a form whose canonical text reads as the same form, or one line
// that says what is wrong.

#include "client/protocol/backend_spec.hpp"

#include "client/protocol/nbd.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

struct Check {
  void operator()(const FileSpec& file) const {
    ENSURE(!file.path.empty() && file.path.find('\0') == std::string::npos);
    ENSURE(file.offset <= nbd::largest_export);
    ENSURE(!file.size || (*file.size > 0 && *file.size <= nbd::largest_export - file.offset));
  }
  void operator()(const MemorySpec& memory) const { check_size(memory.size); }
  void operator()(const NullSpec& null) const { check_size(null.size); }
  void operator()(const UriSpec& remote) const { ENSURE(remote.uri.has_authority); }
  void operator()(const ExecSpec& exec) const { ENSURE(!exec.command.empty()); }

 private:
  static void check_size(std::uint64_t size) { ENSURE(size > 0 && size <= nbd::largest_export); }
};

void check_size(std::string_view text) {
  try {
    const std::uint64_t size = parse_size(text);
    ENSURE(size <= nbd::largest_export && parse_size(std::to_string(size)) == size);
  } catch (const Failure& failure) {
    ENSURE(failure.kind() == FailureKind::usage);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size);
  check_size(input.rest_as_text());
  try {
    const BackendSpec spec = parse_backend_spec(input.rest_as_text());
    std::visit(Check{}, spec.form);
    ENSURE(parse_backend_spec(to_text(spec.form)).form == spec.form);
  } catch (const Failure& failure) {
    ENSURE(failure.kind() == FailureKind::usage && *failure.what() != '\0');
  }
  return 0;
}

}  // namespace nbdring
