#include <cstdio>

#include "cli/commands.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

BackendSpec backend_from(const std::string& argument, const CommonOptions& common, Log& log) {
  BackendSpec spec = parse_backend_spec(argument);
  for (const std::string& warning : spec.warnings) {
    if (common.strict)
      throw Failure(FailureKind::usage, warning + "; --strict makes this an error");
    log.warning(warning);
  }
  return spec;
}

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    fail_errno(FailureKind::failed, "cannot write to standard output");
  }
}

}  // namespace nbdring
