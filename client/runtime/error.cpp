#include "client/runtime/error.hpp"

#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace nbdring {

std::string error_text(int error) { return std::generic_category().message(error); }

void fail_errno(FailureKind kind, std::string_view action, int error) {
  throw Failure(kind, std::string(action) + ": " + error_text(error));
}

void ensure_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "nbdring: internal error: %s does not hold (%s:%d)\n", condition, file,
               line);
  std::abort();
}

}  // namespace nbdring
