#include "kernel/spawn.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/spawn.hpp"

namespace nbdring {
namespace {

// An ordinary user's and a service's PATH often lack the sbin folders, where modprobe lives.
constexpr const char* system_folders = "/usr/sbin:/sbin:/usr/bin:/bin";

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

CommandResult run_command(const std::vector<std::string>& arguments, Deadline deadline,
                          const CommandFiles& files) {
  ENSURE(!arguments.empty());
  CommandResult result;
  // A file in memory, not a pipe: a talkative program never waits for us.
  const FileDescriptor output(memfd_create("stderr", MFD_CLOEXEC));
  if (!output.is_open()) fail_errno(FailureKind::failed, "memfd_create");
  SpawnOptions options;
  options.arguments = arguments;
  options.search_path = system_folders;
  options.input = files.input;
  options.output = files.output;
  options.error = output.get();
  const Spawned child = spawn(options);
  if (child.error != 0) {
    result.end = CommandResult::End::not_started;
    result.status = child.error;
    return result;
  }
  if (!ends_in_time(child.process.get(), deadline)) {
    kill(child.pid, SIGKILL);
    result.end = CommandResult::End::timed_out;
    // Killed, it ends at once, or it hangs in the kernel (a module's init) and nobody can wait for
    // it.
    if (!ends_in_time(child.process.get(), Deadline::in(std::chrono::milliseconds(100))))
      return result;
  }
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) continue;
  result.message = first_line_of(output.get());
  if (result.end == CommandResult::End::timed_out) return result;
  result.end = WIFEXITED(status) ? CommandResult::End::exited : CommandResult::End::killed;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  return result;
}

}  // namespace nbdring
