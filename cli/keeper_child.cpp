#include "cli/keeper_child.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds kill_wait{5};

FileDescriptor watch_of(pid_t process) {
  // glibc 2.36 has no pidfd_open() that both compilers' headers agree on.
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
}

bool is_readable(int fd, Deadline deadline) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(deadline.remaining().count())) > 0;
}

}  // namespace

KeeperChild::KeeperChild(pid_t process, FileDescriptor channel)
    : process_(process), watch_(watch_of(process)), channel_(std::move(channel)) {
  ENSURE(process > 0);
}

void KeeperChild::add_waits(std::vector<pollfd>& waits) const {
  if (watch_.is_open()) waits.push_back({watch_.get(), POLLIN, 0});
  if (channel_ && !channel_->is_over()) waits.push_back({channel_->fd(), POLLIN, 0});
}

// Without a pidfd it had ended before it could be watched.
bool KeeperChild::has_ended() const {
  return is_there() && (!watch_.is_open() || is_readable(watch_.get(), Deadline::in({})));
}

std::optional<int> KeeperChild::reap() {
  int status = 0;
  const bool was_ours = ::waitpid(process_, &status, WNOHANG) == process_;
  return was_ours ? std::optional(status) : std::nullopt;
}

void KeeperChild::kill() noexcept {
  if (!is_there()) return;
  ::kill(process_, SIGKILL);
  is_killed = true;
}

void KeeperChild::end() noexcept {
  if (!is_there()) return;
  kill();
  if (watch_.is_open()) is_readable(watch_.get(), Deadline::in(kill_wait));
  ::waitpid(process_, nullptr, WNOHANG);
  forget();
}

void KeeperChild::forget() noexcept {
  process_ = 0;
  watch_.reset();
  channel_.reset();
}

bool KeeperChild::has_served_for(std::chrono::seconds time) const {
  return serves_since != Clock::time_point() && Clock::now() - serves_since >= time;
}

std::string end_text(const std::optional<int>& status) {
  if (!status) return "it was killed";
  return WIFSIGNALED(*status) ? "signal " + std::to_string(WTERMSIG(*status))
                              : "exit code " + std::to_string(WEXITSTATUS(*status));
}

// A group of its own: a Ctrl-C is the keeper's to pass on.
void run_as_engine(const std::function<int(EngineLink&)>& work, EngineLink::Start start, Log& log) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "nbdring");
  EngineLink link(std::move(start));
  int code = static_cast<int>(FailureKind::failed);
  try {
    code = work(link);
  } catch (const Failure& failure) {
    code = static_cast<int>(failure.kind());
    link.failed(code, failure.what());
  } catch (const std::exception& unforeseen) {
    log.error(std::string("the engine failed: ") + unforeseen.what());
    link.failed(code, unforeseen.what());
  }
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace nbdring
