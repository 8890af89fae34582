#include "cli/hooks.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr unsigned lines_max = 200;  // of one run, in the log

/// Ends a hook that is not back in time.
class HookDeadline final : public Timer {
 public:
  HookDeadline(Loop& loop, Clock::duration after, Process& process)
      : Timer(loop, Clock::now() + after), process_(process) {}

 private:
  void expired() override { process_.terminate(); }
  Process& process_;
};

void refuse_unsafe(const std::string& path, const struct stat& file, uid_t user) {
  if (user != 0) return;
  if (file.st_uid == 0 && (file.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
  throw Failure(FailureKind::failed, "the hook " + path +
                                         " can be written by others than root, who would then "
                                         "decide what root runs; chown root, chmod go-w");
}

bool is_executable(const std::string& path, struct stat& file) {
  return ::stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

void add_folder(std::vector<std::string>& found, const std::string& folder, uid_t user) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    struct stat file {};
    if (name.starts_with('.') || !is_executable(folder + "/" + name, file)) continue;
    refuse_unsafe(folder + "/" + name, file, user);
    names.push_back(name);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Failure(FailureKind::failed,
                  "cannot look for hooks in " + folder + ": " + error_text(error.value()));
  }
  struct stat itself {};
  if (!names.empty() && ::stat(folder.c_str(), &itself) == 0) refuse_unsafe(folder, itself, user);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) found.push_back(folder + "/" + name);
}

std::string name_of_hook(const std::string& program) {
  return program.substr(program.rfind('/') + 1);
}

}  // namespace

std::vector<std::string> find_hooks(const HookPlaces& places, uid_t user) {
  std::vector<std::string> found;
  for (const std::string& path : places.files) {
    struct stat file {};
    if (!is_executable(path, file)) continue;
    refuse_unsafe(path, file, user);
    found.push_back(path);
  }
  for (const std::string& folder : places.folders) add_folder(found, folder, user);
  return found;
}

Hooks::Hooks(Loop& loop, std::vector<std::string> programs, HookSettings settings, Log& log)
    : loop_(loop), programs_(std::move(programs)), settings_(std::move(settings)), log_(log) {}

Task<std::string> Hooks::start() {
  std::string failure;
  while (started_ < programs_.size() && !is_interrupted_ && failure.empty()) {
    const std::string& program = programs_[started_++];
    failure = co_await run(program, "start");
  }
  co_return failure;
}

Task<void> Hooks::stop() {
  is_interrupted_ = false;
  while (started_ > 0) {
    const std::string& program = programs_[--started_];
    const std::string failure = co_await run(program, "stop");
    if (!failure.empty()) {
      log_.warning(failure, {{"configuration", settings_.configuration}});
    }
  }
}

void Hooks::interrupt() noexcept {
  is_interrupted_ = true;
  if (running_ != nullptr) running_->terminate();
}

void Hooks::hurry(std::chrono::milliseconds timeout) noexcept {
  settings_.timeout = std::min(settings_.timeout, timeout);
}

std::chrono::milliseconds Hooks::stop_time() const {
  constexpr std::chrono::milliseconds to_die{1'000};
  return started_ * (settings_.timeout + settings_.kill_grace + to_die);
}

Task<std::string> Hooks::run(const std::string& program, const std::string& verb) {
  const std::string name = name_of_hook(program);
  std::atomic<unsigned> lines{0};
  Process::Settings child;
  child.arguments = {program, verb, settings_.configuration};
  child.directory = "/";
  child.environment = settings_.environment;
  child.grace = settings_.kill_grace;
  child.heard = [this, &lines, &name](const std::string& line) {
    const unsigned before = lines.fetch_add(1);
    if (before < lines_max) log_.info("hook: " + line, {{"hook", name}});
    if (before == lines_max) log_.warning("hook: says too much to be logged", {{"hook", name}});
  };
  const std::string what = "the hook " + program + " " + verb;
  std::unique_ptr<Process> process;
  try {
    process = std::make_unique<Process>(std::move(child));
  } catch (const Failure& failure) {
    co_return what + " failed: " + failure.what();
  }
  HookDeadline deadline(loop_, settings_.timeout, *process);
  running_ = process.get();
  co_await loop_.readable(process->ended_fd());
  running_ = nullptr;
  deadline.stop();
  if (deadline.has_expired()) {
    co_return what + " did not end within " + duration_text(settings_.timeout);
  }
  if (process->has_succeeded()) co_return std::string();
  co_return what + " failed: " + process->last_words();
}

}  // namespace nbdring
