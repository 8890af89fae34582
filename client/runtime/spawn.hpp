#pragma once
// Starts a child process. Nothing of ours goes along but what is named here: no descriptor, no
// signal mask and no handler, no systemd variable, not the mark of an I/O flusher, not our shelter
// from the killing when memory is short.
//
// How it works: vfork, not posix_spawn, which cannot ask for a signal at its parent's end; and not
// fork, after which every lane would copy the page it next writes to, in the middle of a request.
// Between vfork and exec the child runs in our memory, so it makes system calls and nothing else.
//
// Any thread. Blocks until the program runs or could not be started.

#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

struct SpawnOptions {
  /// The first is looked for in search_path unless it has a '/'.
  std::vector<std::string> arguments;
  std::string search_path;                    // folders with ':' between them; empty: $PATH
  std::string directory;                      // to run in; empty: ours
  std::vector<std::string> environment = {};  // "NAME=VALUE", on top of ours
  int input = -1;                             // -1: /dev/null
  int output = -1;
  int error = -1;
  /// A listening socket, passed on as systemd does (sd_listen_fds(3)): descriptor 3, LISTEN_FDS,
  /// LISTEN_PID. -1: none.
  int listener = -1;
  /// It leads a session of its own, so that a Ctrl-C meant for us does not end it, and its group
  /// can be signalled as one. It gets SIGTERM when the calling THREAD ends (that is what Linux
  /// watches), so the thread stays until the child has been reaped.
  bool is_attended = false;
  /// A device needs it as it needs us (its server, its tunnel): where we are not to be killed when
  /// memory is short, neither is it. Any other child is one of many then.
  bool carries_device = false;
};

struct Spawned {
  pid_t pid = -1;
  FileDescriptor process;  // a pidfd: readable when the child has ended; it is the caller's to reap
  int error = 0;           // errno; 0: the program runs
};

Spawned spawn(const SpawnOptions& options);

}  // namespace nbdring
