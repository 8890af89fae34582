#pragma once
// Runs one of the system's programs (modprobe, udevadm, gnuplot) to its end, within a deadline. No
// shell. Blocks the caller.

#include <string>
#include <vector>

#include "kernel/deadline.hpp"

namespace nbdring {

struct CommandResult {
  enum class End { exited, killed, not_started, timed_out };
  End end = End::exited;
  int status = 0;       // exit status, signal, or errno of the start
  std::string message;  // the first line that it wrote to standard error, without the newline

  bool succeeded() const { return end == End::exited && status == 0; }
  std::string words() const;  // "modprobe: FATAL: ...", "exit status 1", "not back in time"
};

/// What it reads and writes; -1: nothing.
struct CommandFiles {
  int input = -1;
  int output = -1;
};

/// The first argument is looked for in the system's folders, sbin first. A program that is not
/// back in time is killed.
CommandResult run_command(const std::vector<std::string>& arguments, Deadline deadline,
                          const CommandFiles& files = {});

}  // namespace nbdring
