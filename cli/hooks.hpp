#pragma once
// State hooks: what the administrator wants done when a session starts and when it ends, as
// executables in a folder.
//
//     HOOK start|stop CONFIGURATION
//
// They run one after the other, by name; at the end in the reverse order, those whose start ran.
// Standard input is /dev/null; what they write goes to the log, line by line, up to a limit. One
// that exits with another status than 0, is killed, or is not back in time, has failed.
//
// While one runs the device is served, by other threads: a hook may read it, and may hang in it.
// So nothing here waits for a hook but by the loop, and one that cannot be killed is left behind.
//
// One loop's thread.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/process.hpp"

namespace nbdring {

/// Where hooks are, in this order: files that are hooks themselves, then folders of them. What does
/// not exist has none.
struct HookPlaces {
  std::vector<std::string> files;
  std::vector<std::string> folders;
};

/// The executables there, folders in the order of names; not hidden ones. Root refuses one that
/// others can write, or whose folder they can: Failure (failed).
std::vector<std::string> find_hooks(const HookPlaces& places, uid_t user);

struct HookSettings {
  std::string configuration;
  std::vector<std::string> environment;  // "NBDRING_DEVICE=/dev/nbd0", ...
  std::chrono::milliseconds timeout{30'000};
  std::chrono::milliseconds kill_grace{2'000};  // from SIGTERM to SIGKILL
};

class Hooks {
 public:
  Hooks(Loop& loop, std::vector<std::string> programs, HookSettings settings, Log& log);

  /// Runs them with "start". Empty, or why the first that failed did; the rest is not run. Ends
  /// early, as failed, after interrupt().
  Task<std::string> start();
  /// With "stop", those whose start ran; all of them, whatever fails: it is logged.
  Task<void> stop();

  /// Ends the hook that runs, and start() with it.
  void interrupt() noexcept;
  /// From now on each has this long at most.
  void hurry(std::chrono::milliseconds timeout) noexcept;

  /// How long stop() can take.
  std::chrono::milliseconds stop_time() const;

  FramePool& frames() { return loop_.frames(); }

 private:
  Task<std::string> run(const std::string& program, const std::string& verb);

  Loop& loop_;
  const std::vector<std::string> programs_;
  HookSettings settings_;
  Log& log_;
  std::size_t started_ = 0;
  Process* running_ = nullptr;
  bool is_interrupted_ = false;
};

}  // namespace nbdring
