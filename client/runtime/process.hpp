#pragma once
// A child process that carries a connection for us (ssh, a command) or serves one (exec:), with a
// thread of its own that attends to it.
//
// The thread starts the child, keeps the end of what it writes to standard error, ends it when
// asked to or when nobody holds the other end of its connection any more, reaps it, and ends
// itself. So no loop ever waits for a child, none is left as a zombie, and Linux's signal at the
// parent's end, which watches the thread, does its work: however we end, SIGKILL included, the
// child gets SIGTERM.
//
// When the child has ended, what it left behind in its session gets SIGTERM as well.

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/spawn.hpp"

namespace nbdring {

class Process {
 public:
  struct Settings {
    std::vector<std::string> arguments;  // as of SpawnOptions
    std::string directory;
    FileDescriptor connection;                  // its standard input and output; none: /dev/null
    FileDescriptor listener;                    // for a server that takes it by socket activation
    std::vector<std::string> environment = {};  // as of SpawnOptions
    /// For each line that it writes to standard output and standard error, printable and not
    /// longer than a message: on the thread that attends to it. Empty: standard output is the
    /// connection, or /dev/null.
    std::function<void(const std::string& line)> heard = {};
    /// From the end of the connection to SIGTERM, and from SIGTERM to SIGKILL.
    std::chrono::milliseconds grace{5000};
  };

  /// Returns at once. A program that cannot be started is one that has ended.
  /// Throws Failure where there can be no thread.
  explicit Process(Settings settings);
  /// terminate(), and waits for the end.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Any thread:

  /// SIGTERM to its whole group, SIGKILL after the grace.
  void terminate() noexcept;
  /// Readable once it has ended and been reaped; it stays so.
  int ended_fd() const { return ended_.get(); }
  bool has_ended() const { return has_ended_.load(); }
  /// It ended by itself, with exit status 0.
  bool has_succeeded() const { return has_succeeded_.load(); }
  /// "Permission denied (publickey). (exit status 255)": the last two lines of its standard
  /// error and how it ended, as far as there are any; else empty.
  std::string last_words() const;

 private:
  class Attendance;

  void attend();
  void note_end(const std::string& how);
  void keep_output(std::string_view bytes);
  void tell_lines(std::string_view bytes);
  void tell_line();

  Settings settings_;
  FileDescriptor stop_;  // eventfds
  FileDescriptor ended_;
  std::atomic<bool> has_ended_{false};
  std::atomic<bool> has_succeeded_{false};
  mutable std::mutex words_;
  std::string output_;  // the last bytes of its standard error
  std::string how_;
  std::string line_;  // not ended yet; the attending thread's
  std::thread thread_;
};

}  // namespace nbdring
