#include "cli/write_out.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "client/runtime/error.hpp"
#include "client/runtime/timer.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds silence{5};

// In a process of its own: a write that hangs in the kernel cannot be killed, but it can be left
// behind.
pid_t start_fsync(const std::string& device) {
  const pid_t child = ::fork();
  if (child < 0) fail_errno(FailureKind::failed, "cannot start a process for fsync");
  if (child > 0) return child;
  const int fd = ::open(device.c_str(), O_RDONLY | O_CLOEXEC);
  std::_Exit(fd >= 0 && ::fsync(fd) == 0 ? 0 : errno);
}

}  // namespace

void write_out(const std::string& device, std::chrono::milliseconds wait, Log& log) {
  const pid_t child = start_fsync(device);
  int status = 0;
  const auto ended = [child, &status] { return ::waitpid(child, &status, WNOHANG) == child; };
  const std::string action = "writing " + device + " out";
  const Deadline deadline = Deadline::in(wait);
  bool done = wait_until(ended, deadline.at_most(silence));
  if (!done && !deadline.has_passed()) {
    log.info(action + ": waiting for it, " + duration_text(wait) + " at most");
    done = wait_until(ended, deadline);
  }
  if (!done) {
    throw Failure(FailureKind::failed, action + " did not end within " + duration_text(wait) +
                                           "; see `nbdring status`, or detach it with --force");
  }
  if (!WIFEXITED(status)) throw Failure(FailureKind::failed, action + " was killed; try again");
  const int error = WEXITSTATUS(status);
  if (error != 0) {
    throw Failure(FailureKind::failed, action + ": " + error_text(error) +
                                           "; what is lost is lost: detach it with --force");
  }
}

}  // namespace nbdring
