#pragma once
// Going to the background. The process forks before it has any thread; the child becomes the
// engine, the parent waits until the child is ready (it prints the child's line and returns 0) or
// has failed (it fails in the same words), so the user's shell sees one command that either worked
// or said why not.

#include <functional>
#include <string>

namespace nbdring {

/// How an engine tells whoever started it that it is ready.
class Announcer {
 public:
  virtual ~Announcer() = default;

  /// Once. Prints the line on the starter's standard output. log_path: the file for a log where
  /// there is no journal. Failure when the starter has gone: nobody wants the engine any more.
  virtual void ready(const std::string& line, const std::string& log_path) = 0;

  /// In a forked process: it has nothing to announce, and keeps nobody waiting.
  virtual void leave() noexcept = 0;
};

/// The engine's work; its result is the exit code of the process in which it runs.
using EngineMain = std::function<int(Announcer&)>;

/// Runs the engine here: standard streams stay, systemd is told READY=1.
int run_in_foreground(const EngineMain& engine);

/// Runs the engine in a child that has let go of the terminal, the folder and every inherited
/// descriptor.
int run_in_background(const EngineMain& engine);

/// A log that is a file: emptied by the first who opens it, or written on.
enum class LogFile { begin, go_on };

/// Standard streams and working directory become nobody's: what is written to standard error goes
/// to the journal, or to the file at log_path where there is none.
void let_go_of_streams(const std::string& log_path, LogFile file);

/// Empties a log that is a file and has grown beyond a mebibyte. Log lines are rare; this bounds
/// them all the same.
void bound_log_file() noexcept;

}  // namespace nbdring
