#include "client/runtime/spawn.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr int listener_fd = 3;  // SD_LISTEN_FDS_START
constexpr int highest_fd_moved = 64;
constexpr std::string_view listen_pid_name = "LISTEN_PID=";
constexpr std::size_t pid_digits_max = 10;

// Everything that the child needs, made before it exists.
struct Prepared {
  const SpawnOptions* options = nullptr;
  std::string program;
  std::vector<char*> arguments;
  std::vector<std::string> environment_texts;
  std::vector<char*> environment;
  std::string listen_pid;  // in the environment; the child writes its own number into it
  int failure_pipe = -1;
  pid_t parent = -1;
};

std::string program_for(const SpawnOptions& options) {
  const std::string& name = options.arguments.front();
  if (name.find('/') != std::string::npos) return name;
  const char* ours = ::getenv("PATH");
  std::string_view folders = options.search_path;
  if (folders.empty()) folders = ours != nullptr ? ours : "/usr/bin:/bin";
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    std::string candidate(folders.substr(0, end));
    candidate.append("/").append(name);
    if (end > 0 && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return {};
}

// What systemd told us is meant for us.
bool is_ours_alone(std::string_view variable) {
  constexpr std::array<std::string_view, 7> names{
      "LISTEN_FDS=",   "LISTEN_PID=",    "LISTEN_FDNAMES=", "NOTIFY_SOCKET=",
      "WATCHDOG_PID=", "WATCHDOG_USEC=", "MAINPID="};
  return std::any_of(names.begin(), names.end(),
                     [variable](std::string_view name) { return variable.starts_with(name); });
}

// Of a name that stands there twice shells take one, other programs the other.
bool is_replaced(std::string_view variable, const SpawnOptions& options) {
  const std::string_view name = variable.substr(0, variable.find('=') + 1);
  return !name.empty() &&
         std::any_of(options.environment.begin(), options.environment.end(),
                     [name](const std::string& text) { return text.starts_with(name); });
}

void prepare(Prepared& prepared, const SpawnOptions& options) {
  prepared.options = &options;
  prepared.parent = ::getpid();
  for (const std::string& argument : options.arguments)
    prepared.arguments.push_back(const_cast<char*>(argument.c_str()));
  prepared.arguments.push_back(nullptr);
  for (const std::string& text : options.environment)
    prepared.environment.push_back(const_cast<char*>(text.c_str()));
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (is_ours_alone(*variable) || is_replaced(*variable, options)) continue;
    prepared.environment.push_back(*variable);
  }
  if (options.listener >= 0) {
    prepared.environment_texts = {"LISTEN_FDS=1", "LISTEN_FDNAMES=nbd"};
    prepared.listen_pid.assign(listen_pid_name).append(pid_digits_max, '\0');
    for (std::string& text : prepared.environment_texts)
      prepared.environment.push_back(text.data());
    prepared.environment.push_back(prepared.listen_pid.data());
  }
  prepared.environment.push_back(nullptr);
}

// ---- in the child: system calls only

[[noreturn]] void give_up(const Prepared& prepared) {
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(prepared.failure_pipe, &error, sizeof error);
  ::_exit(127);
}

void forget_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
}

// Linux changes it for the child alone, though it has our memory (fs/proc/base.c: vfork_done).
void leave_shelter() {
  const int score = ::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  char first = 0;
  if (score >= 0 && ::pread(score, &first, 1, 0) == 1 && first == '-') {
    [[maybe_unused]] const ssize_t written = ::write(score, "0", 1);
  }
  if (score >= 0) ::close(score);
}

// Above the numbers that are about to be given out, so that no one overwrites another.
int out_of_the_way(const Prepared& prepared, int fd, int flags) {
  const int opened = fd >= 0 ? fd : ::open("/dev/null", flags | O_CLOEXEC);
  const int moved = ::fcntl(opened, F_DUPFD_CLOEXEC, highest_fd_moved);
  if (moved < 0) give_up(prepared);
  return moved;
}

void place_descriptors(const Prepared& prepared) {
  const SpawnOptions& options = *prepared.options;
  const int input = out_of_the_way(prepared, options.input, O_RDONLY);
  const int output = out_of_the_way(prepared, options.output, O_WRONLY);
  const int error = out_of_the_way(prepared, options.error, O_WRONLY);
  const bool listens = options.listener >= 0;
  const int listener = listens ? out_of_the_way(prepared, options.listener, O_RDONLY) : -1;
  if (::syscall(SYS_close_range, listener_fd, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(prepared);
  if (::dup2(input, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 ||
      ::dup2(error, STDERR_FILENO) < 0 || (listens && ::dup2(listener, listener_fd) < 0)) {
    give_up(prepared);
  }
}

void write_own_pid(Prepared& prepared) {
  std::array<char, pid_digits_max> reversed{};
  std::size_t count = 0;
  for (pid_t rest = ::getpid(); rest > 0; rest /= 10)
    reversed[count++] = static_cast<char>('0' + rest % 10);
  char* digits = prepared.listen_pid.data() + listen_pid_name.size();
  for (std::size_t i = 0; i < count; ++i) digits[i] = reversed[count - 1 - i];
}

[[noreturn]] void become_program(Prepared& prepared) {
  const SpawnOptions& options = *prepared.options;
  forget_signals();
  // Fails without the right to it, and who has not got it has never set the mark.
  ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
  if (!options.carries_device) leave_shelter();
  if (options.is_attended) {
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (::getppid() != prepared.parent) ::_exit(127);  // it went before we asked
  }
  place_descriptors(prepared);
  if (options.listener >= 0) write_own_pid(prepared);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) give_up(prepared);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(prepared.program.c_str(), prepared.arguments.data(), prepared.environment.data());
  give_up(prepared);
}

// ---- in the parent

// A handler of ours must not run in the child, which has our memory.
[[gnu::noinline]] pid_t start(Prepared& prepared) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ENSURE(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  const pid_t child = ::vfork();
  if (child == 0) become_program(prepared);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return child;
}

int reported_failure(FileDescriptor& reader) {
  int error = 0;
  ssize_t bytes = 0;
  do {
    bytes = ::read(reader.get(), &error, sizeof error);
  } while (bytes < 0 && errno == EINTR);
  return bytes == sizeof error ? error : 0;
}

}  // namespace

Spawned spawn(const SpawnOptions& options) {
  ENSURE(!options.arguments.empty());
  Spawned spawned;
  Prepared prepared;
  prepared.program = program_for(options);
  if (prepared.program.empty()) {
    spawned.error = ENOENT;
    return spawned;
  }
  prepare(prepared, options);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    spawned.error = errno;
    return spawned;
  }
  FileDescriptor reader(pipe[0]);
  FileDescriptor writer(pipe[1]);
  prepared.failure_pipe = writer.get();
  const pid_t child = start(prepared);
  if (child < 0) {
    spawned.error = errno;
    return spawned;
  }
  writer.reset();
  spawned.error = reported_failure(reader);
  if (spawned.error != 0) {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
    return spawned;
  }
  spawned.pid = child;
  spawned.process.reset(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  ENSURE(spawned.process.is_open());  // Linux 5.3; the child is ours and not yet reaped
  return spawned;
}

}  // namespace nbdring
