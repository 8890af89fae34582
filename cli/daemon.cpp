#include "cli/daemon.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/notify.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr off_t log_bytes_max = 1024 * 1024;

// The child's message: one byte that tells how it went, then the text. '0': ready; else the
// failure's kind as a digit.
constexpr char ready_byte = '0';
static_assert(static_cast<int>(FailureKind::cannot_attach) <= 9, "a kind must fit into a digit");
static_assert(static_cast<int>(FailureKind::failed) > 0, "0 means ready");

class ForegroundAnnouncer final : public Announcer {
 public:
  void ready(const std::string& line, const std::string&) override {
    print(line + "\n");
    notify_ready(line);
  }
  void leave() noexcept override {}
};

// The journal's socket is made non-blocking: a journal that waits for the very device we serve must
// not stop us.
FileDescriptor open_log(const std::string& path, LogFile file) {
  FileDescriptor journal(sd_journal_stream_fd("nbdring", LOG_INFO, 0));
  if (journal.is_open()) {
    ::fcntl(journal.get(), F_SETFL, O_WRONLY | O_NONBLOCK);
    return journal;
  }
  const int emptied = file == LogFile::begin ? O_TRUNC : 0;
  return FileDescriptor(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | emptied, 0600));
}

class PipeAnnouncer final : public Announcer {
 public:
  explicit PipeAnnouncer(FileDescriptor pipe) : pipe_(std::move(pipe)) {}

  // The streams first: the starter's reader waits until the last writer has closed them.
  void ready(const std::string& line, const std::string& log_path) override {
    ENSURE(!has_told());
    let_go_of_streams(log_path, LogFile::go_on);
    if (!send(ready_byte, line)) {
      throw Failure(FailureKind::failed, "whoever started this engine has gone: detaching");
    }
    pipe_.reset();
  }
  void failed(const Failure& failure) {
    ENSURE(!has_told());
    send(static_cast<char>('0' + static_cast<int>(failure.kind())), failure.what());
  }
  void leave() noexcept override { pipe_.reset(); }
  bool has_told() const { return !pipe_.is_open(); }

 private:
  bool send(char how, const std::string& text) {
    const std::string message = how + text;
    return ::write(pipe_.get(), message.data(), message.size()) == std::ssize(message);
  }
  FileDescriptor pipe_;
};

int become_engine(const EngineMain& engine, FileDescriptor pipe) {
  ::setsid();
  // What else the starter had open is not ours: a pipe that we kept would keep its reader waiting.
  constexpr int kept = STDERR_FILENO + 1;
  if (pipe.get() != kept) {
    ENSURE(::dup3(pipe.get(), kept, O_CLOEXEC) == kept);
    pipe.reset(kept);
  }
  ::close_range(kept + 1, ~0U, 0);
  PipeAnnouncer announcer(std::move(pipe));
  try {
    return engine(announcer);
  } catch (const Failure& failure) {
    if (announcer.has_told()) throw;  // main writes it to the log
    announcer.failed(failure);
    return static_cast<int>(failure.kind());
  }
}

std::string read_to_end(int pipe) {
  std::string text;
  std::array<char, 1024> bytes;
  while (true) {
    const ssize_t count = ::read(pipe, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

[[noreturn]] void fail_without_word(pid_t engine) {
  int status = 0;
  ::waitpid(engine, &status, 0);
  const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                              : "exit code " + std::to_string(WEXITSTATUS(status));
  throw Failure(FailureKind::failed, "the engine ended without a word (" + how +
                                         "); try --foreground --verbose to see why");
}

}  // namespace

int run_in_foreground(const EngineMain& engine) {
  ForegroundAnnouncer announcer;
  return engine(announcer);
}

int run_in_background(const EngineMain& engine) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_errno(FailureKind::failed, "cannot make a pipe");
  FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) fail_errno(FailureKind::failed, "cannot go to the background");
  if (child == 0) {
    reading.reset();
    return become_engine(engine, std::move(writing));
  }
  writing.reset();
  const std::string message = read_to_end(reading.get());
  if (message.empty()) fail_without_word(child);
  const std::string text = message.substr(1);
  if (message.front() != ready_byte) {
    throw Failure(static_cast<FailureKind>(message.front() - '0'), text);
  }
  print(text + "\n");
  return 0;
}

void let_go_of_streams(const std::string& log_path, LogFile file) {
  const FileDescriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ENSURE(nothing.is_open());
  const FileDescriptor log = open_log(log_path, file);
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(nothing.get(), STDOUT_FILENO);
  ::dup2(log.is_open() ? log.get() : nothing.get(), STDERR_FILENO);
  // A working directory would keep its file system mounted.
  ENSURE(::chdir("/") == 0);
}

void bound_log_file() noexcept {
  struct stat log {};
  if (::fstat(STDERR_FILENO, &log) != 0 || !S_ISREG(log.st_mode)) return;
  if (log.st_size <= log_bytes_max) return;
  [[maybe_unused]] const int result = ::ftruncate(STDERR_FILENO, 0);
}

}  // namespace nbdring
