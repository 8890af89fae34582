#pragma once
// One engine as its keeper sees it: a process, the way to talk to it, and when it was heard last.

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/channel.hpp"
#include "cli/engine_link.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

class KeeperChild {
 public:
  using Clock = Deadline::Clock;

  KeeperChild() = default;  // none
  KeeperChild(pid_t process, FileDescriptor channel);

  bool is_there() const { return process_ > 0; }
  pid_t process() const { return process_; }
  Channel& channel() { return *channel_; }

  void add_waits(std::vector<pollfd>& waits) const;
  /// It has ended, and may have sent something before; reap() forgets it then.
  bool has_ended() const;
  /// As of waitpid(2), where it was a child of ours; else nothing.
  std::optional<int> reap();

  void kill() noexcept;
  /// Kills it and waits for its end; one that the kernel does not let go is left behind.
  void end() noexcept;
  /// In a child of ours, which is no partner of this one.
  void forget() noexcept;

  bool has_served_for(std::chrono::seconds time) const;

  Clock::time_point heard_at = Clock::now();
  Clock::time_point pinged_at{};
  Clock::time_point serves_since{};  // none: not yet
  bool is_killed = false;

 private:
  pid_t process_ = 0;
  FileDescriptor watch_;  // pidfd
  std::optional<Channel> channel_;
};

/// "signal 9", "exit code 1".
std::string end_text(const std::optional<int>& status);

/// In the process that was forked to be an engine: does the work, and ends.
[[noreturn]] void run_as_engine(const std::function<int(EngineLink&)>& work,
                                EngineLink::Start start, Log& log);

}  // namespace nbdring
