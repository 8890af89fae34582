#pragma once
// A process that can be killed before any of its system calls: every crash that a program can have
// between one of its effects and the next.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace nbdring {

struct SteppedRun {
  bool was_killed = false;           // it had more calls to make
  std::vector<std::uint64_t> calls;  // numbers of the system calls that it made
};

/// Runs `work` in a child process and kills it (SIGKILL) instead of its call number `kill_at`,
/// counted from 0; without kill_at it runs to its end. Returns when the child is gone. Nothing:
/// this machine does not let processes be traced. The caller has one thread.
std::optional<SteppedRun> run_stepped(const std::function<void()>& work,
                                      std::optional<std::size_t> kill_at);

}  // namespace nbdring
