#include "tests/support/stepped_child.hpp"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace nbdring {
namespace {

constexpr int traced_call = SIGTRAP | 0x80;

[[noreturn]] void be_stepped(const std::function<void()>& work) {
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
  ::raise(SIGSTOP);
  work();
  ::_exit(0);
}

// The number of the call that the child is about to make; nothing when it is back from one.
std::optional<std::uint64_t> call_begun(pid_t child) {
  __ptrace_syscall_info info{};
  const long size = ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
  if (size <= 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY) return std::nullopt;
  return info.entry.nr;
}

void kill_and_wait(pid_t child) {
  int status = 0;
  ::kill(child, SIGKILL);
  while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
  }
}

}  // namespace

std::optional<SteppedRun> run_stepped(const std::function<void()>& work,
                                      std::optional<std::size_t> kill_at) {
  const pid_t child = ::fork();
  if (child < 0) return std::nullopt;
  if (child == 0) be_stepped(work);
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return std::nullopt;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  SteppedRun run;
  while (true) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return run;
    if (WSTOPSIG(status) != traced_call) continue;
    const auto call = call_begun(child);
    if (!call) continue;
    if (run.calls.size() == kill_at) {
      kill_and_wait(child);
      run.was_killed = true;
      return run;
    }
    run.calls.push_back(*call);
  }
}

}  // namespace nbdring
