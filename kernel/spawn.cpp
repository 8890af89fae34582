#include "kernel/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

/// What posix_spawn wants to know: own signal mask and handlers, standard error into the pipe, the
/// rest to /dev/null.
class SpawnSettings {
 public:
  explicit SpawnSettings(int standard_error) {
    ENSURE(posix_spawnattr_init(&attributes_) == 0);
    ENSURE(posix_spawn_file_actions_init(&actions_) == 0);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions_, 0, 1);
    posix_spawn_file_actions_adddup2(&actions_, standard_error, 2);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  int start(const std::string& program, char* const* arguments, pid_t& child) const {
    return posix_spawn(&child, program.c_str(), &actions_, &attributes_, arguments, environ);
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

// An ordinary user's and a service's PATH often lack the sbin folders, where modprobe lives.
int start_program(const std::vector<std::string>& arguments, int standard_error, pid_t& child) {
  const SpawnSettings settings(standard_error);
  std::vector<char*> raw;
  for (const std::string& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  constexpr std::array<const char*, 4> folders{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"};
  int error = ENOENT;
  for (const char* folder : folders) {
    error = settings.start(folder + arguments[0], raw.data(), child);
    if (error != ENOENT) return error;
  }
  return error;
}

std::string first_line_of(int fd) {
  std::array<char, 512> text{};
  const ssize_t length = pread(fd, text.data(), text.size(), 0);
  const std::string all(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  return all.substr(0, all.find('\n'));
}

bool ends_in_time(int process, Deadline deadline) {
  pollfd ended{process, POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, static_cast<int>(deadline.remaining().count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

std::string CommandResult::words() const {
  if (!message.empty()) return message;
  switch (end) {
    case End::exited:
      return "exit status " + std::to_string(status);
    case End::killed:
      return "killed by signal " + std::to_string(status);
    case End::not_started:
      return error_text(status);
    case End::timed_out:
      return "not back in time";
  }
  return {};
}

CommandResult run_command(const std::vector<std::string>& arguments, Deadline deadline) {
  ENSURE(!arguments.empty());
  CommandResult result;
  // A file in memory, not a pipe: a talkative program never waits for us.
  const FileDescriptor output(memfd_create("stderr", MFD_CLOEXEC));
  if (!output.is_open()) fail_errno(FailureKind::failed, "memfd_create");
  pid_t child = -1;
  if (const int error = start_program(arguments, output.get(), child)) {
    result.end = CommandResult::End::not_started;
    result.status = error;
    return result;
  }
  const FileDescriptor process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ENSURE(process.is_open());  // Linux 5.3; the child is ours and not yet reaped
  if (!ends_in_time(process.get(), deadline)) {
    kill(child, SIGKILL);
    result.end = CommandResult::End::timed_out;
    // Killed, it ends at once, or it hangs in the kernel (a module's init) and nobody can wait for
    // it.
    if (!ends_in_time(process.get(), Deadline::in(std::chrono::milliseconds(100)))) return result;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  result.message = first_line_of(output.get());
  if (result.end == CommandResult::End::timed_out) return result;
  result.end = WIFEXITED(status) ? CommandResult::End::exited : CommandResult::End::killed;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  return result;
}

}  // namespace nbdring
