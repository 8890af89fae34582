#pragma once
// The three words for the three kinds of failure.
//
//   Status      a value on the data path: a request always gets a reply, so a failure travels to it
//   as an errno. Failure     an exception at start-up and in the command line: one line for the
//   user, caught once, in main. ENSURE      a programmer's error: stays on in release builds,
//   prints where, aborts.

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace nbdring {

/// How an operation on the data path ended: 0 or a positive errno. Costs a register.
class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  static constexpr Status ok() { return Status(); }
  static constexpr Status from_errno(int error) { return Status(error); }

  constexpr bool is_ok() const { return error_ == 0; }
  constexpr int error() const { return error_; }
  friend constexpr bool operator==(Status, Status) = default;

 private:
  constexpr explicit Status(int error) : error_(error) {}
  int error_ = 0;
};

/// What a start-up failure means to a script; the values are the program's exit codes
/// (interface.md).
enum class FailureKind {
  failed = 1,
  usage = 2,
  busy = 3,
  not_found = 4,
  unreachable = 5,
  refused = 6,
  cannot_attach = 7,
};

/// A start-up failure. The text is the whole line that the user reads: what failed, with which
/// value, what to do.
class Failure : public std::runtime_error {
 public:
  Failure(FailureKind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  FailureKind kind() const { return kind_; }

 private:
  FailureKind kind_;
};

/// The system's words for an errno ("No such file or directory"). Safe in every thread.
std::string error_text(int error);

/// Throws a Failure "ACTION: WORDS OF ERRNO".
[[noreturn]] void fail_errno(FailureKind kind, std::string_view action, int error = errno);

[[noreturn]] void ensure_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace nbdring

#define ENSURE(condition) \
  ((condition) ? static_cast<void>(0) : ::nbdring::ensure_failed(#condition, __FILE__, __LINE__))
