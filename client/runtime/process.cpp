#include "client/runtime/process.hpp"

#include <fcntl.h>
#include <linux/prctl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

#include "client/runtime/error.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t output_kept = 4096;  // bytes
constexpr std::size_t line_max = 256;      // bytes, for a message
constexpr const char* line_ends = " \t\r\n";
constexpr int pipe_reads_max = 16;  // empty a full pipe

FileDescriptor make_event() {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
  return event;
}

void raise(const FileDescriptor& event) noexcept {
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event.get(), &one, sizeof one);
}

void make_printable(std::string& text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
}

// The last two lines: many programs end with advice, and say before that what is wrong. It goes to
// somebody's terminal: nothing but what can be printed.
std::string last_lines(const std::string& output) {
  std::string result;
  std::size_t end = output.find_last_not_of(line_ends);
  for (int lines = 0; lines < 2 && end != std::string::npos; ++lines) {
    const std::size_t newline = output.find_last_of("\r\n", end);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    const std::string line = output.substr(begin, std::min(end + 1 - begin, line_max));
    result = result.empty() ? line : line + "; " + result;
    end = begin == 0 ? std::string::npos : output.find_last_not_of(line_ends, begin - 1);
  }
  make_printable(result);
  return result;
}

std::string text_of_end(int status) {
  if (WIFEXITED(status)) return "exit status " + std::to_string(WEXITSTATUS(status));
  return "killed by signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

// The running child, seen from its thread: what may happen, and what is due when.
class Process::Attendance {
 public:
  Attendance(Process& owner, Spawned child, FileDescriptor output)
      : owner_(owner), child_(std::move(child)), output_(std::move(output)) {}

  /// Returns how it ended.
  std::string run() {
    while (!wait()) continue;
    // What is still in the pipe; somebody else may hold its other end and go on writing.
    for (int i = 0; i < pipe_reads_max && output_.is_open(); ++i) take_output();
    if (!has_exited_) return "it cannot be killed";
    ::kill(-child_.pid, SIGTERM);  // before it is reaped: until then the group's number is its own
    int status = 0;
    while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) continue;
    owner_.has_succeeded_ = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return text_of_end(status);
  }

 private:
  enum Watched { watch_process, watch_stop, watch_connection, watch_output, watch_count };

  // One wait. True: there is nothing more to wait for.
  bool wait() {
    std::array<pollfd, watch_count> sets{};
    sets[watch_process] = {child_.process.get(), POLLIN, 0};
    sets[watch_stop] = {is_stopped_ ? -1 : owner_.stop_.get(), POLLIN, 0};
    // No events: only that its other end is gone.
    sets[watch_connection] = {is_left_ ? -1 : owner_.settings_.connection.get(), 0, 0};
    sets[watch_output] = {output_.get(), POLLIN, 0};
    const int ready = ::poll(sets.data(), sets.size(), milliseconds_to_signal());
    ENSURE(ready >= 0 || errno == EINTR);
    if (ready < 0) return false;
    if (sets[watch_output].revents != 0) take_output();
    if (sets[watch_process].revents != 0) {
      has_exited_ = true;
      return true;
    }
    if (sets[watch_stop].revents != 0) {
      is_stopped_ = true;
      if (signal_ == SIGTERM) due_ = Clock::now();
    } else if (sets[watch_connection].revents != 0) {
      is_left_ = true;
      if (!due_) due_ = Clock::now() + owner_.settings_.grace;
    }
    return due_ && *due_ <= Clock::now() && !send_signal();
  }

  void take_output() {
    std::array<char, output_kept> buffer;
    const ssize_t bytes = ::read(output_.get(), buffer.data(), buffer.size());
    if (bytes > 0) owner_.keep_output({buffer.data(), static_cast<std::size_t>(bytes)});
    if (bytes == 0) output_.reset();
  }

  // False: SIGKILL was sent long ago, it hangs in the kernel and nobody can wait for it.
  bool send_signal() {
    if (signal_ == 0) return false;
    ::kill(-child_.pid, signal_);
    constexpr milliseconds to_die{1000};
    due_ = Clock::now() + (signal_ == SIGKILL ? to_die : owner_.settings_.grace);
    signal_ = signal_ == SIGTERM ? SIGKILL : 0;
    return true;
  }

  int milliseconds_to_signal() const {
    if (!due_) return -1;
    const auto left = std::chrono::ceil<milliseconds>(*due_ - Clock::now());
    return static_cast<int>(std::max(left, milliseconds(0)).count());
  }

  Process& owner_;
  Spawned child_;
  FileDescriptor output_;
  std::optional<Clock::time_point> due_;
  int signal_ = SIGTERM;  // the next one; 0: all sent
  bool is_stopped_ = false;
  bool is_left_ = false;
  bool has_exited_ = false;
};

Process::Process(Settings settings)
    : settings_(std::move(settings)), stop_(make_event()), ended_(make_event()) {
  try {
    thread_ = std::thread([this] { attend(); });
  } catch (const std::system_error& error) {
    fail_errno(FailureKind::failed, "cannot start a thread for " + settings_.arguments.front(),
               error.code().value());
  }
}

Process::~Process() {
  terminate();
  thread_.join();
}

void Process::terminate() noexcept { raise(stop_); }

std::string Process::last_words() const {
  const std::lock_guard lock(words_);
  const std::string lines = last_lines(output_);
  if (lines.empty() || how_.empty()) return lines.empty() ? how_ : lines;
  return lines + " (" + how_ + ")";
}

void Process::attend() {
  ::pthread_setname_np(::pthread_self(), "nbdring-child");
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  // Started by a lane, this thread has the lane's mark; it is not on the way of any request.
  ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return note_end(error_text(errno));
  FileDescriptor reader(pipe[0]);
  FileDescriptor writer(pipe[1]);
  ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  SpawnOptions options;
  options.arguments = settings_.arguments;
  options.directory = settings_.directory;
  options.input = settings_.connection.get();
  options.output = settings_.heard ? writer.get() : settings_.connection.get();
  options.environment = settings_.environment;
  options.error = writer.get();
  options.listener = settings_.listener.get();
  options.is_attended = true;
  options.carries_device = settings_.connection.is_open() || settings_.listener.is_open();
  Spawned child = spawn(options);
  writer.reset();
  // Nobody but the server holds it now: when the server ends, who waits in it is told.
  settings_.listener.reset();
  if (child.error != 0)
    return note_end("cannot run " + settings_.arguments.front() + ": " + error_text(child.error));
  Attendance attendance(*this, std::move(child), std::move(reader));
  const std::string how = attendance.run();
  if (!line_.empty()) tell_line();
  note_end(how);
}

// In this order: who sees the end of the connection, or of the process, finds its last words.
void Process::note_end(const std::string& how) {
  {
    const std::lock_guard lock(words_);
    how_ = how;
  }
  settings_.listener.reset();
  settings_.connection.reset();
  has_ended_ = true;
  raise(ended_);
}

void Process::keep_output(std::string_view bytes) {
  if (settings_.heard) tell_lines(bytes);
  const std::lock_guard lock(words_);
  output_.append(bytes);
  if (output_.size() > output_kept) output_.erase(0, output_.size() - output_kept);
}

void Process::tell_lines(std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\n' || line_.size() == line_max) tell_line();
    if (c != '\n') line_ += c;
  }
}

void Process::tell_line() {
  make_printable(line_);
  settings_.heard(line_);
  line_.clear();
}

}  // namespace nbdring
