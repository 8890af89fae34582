#include "cli/caretakers.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// A keeper that this signal ends is not started again by systemd (nbdring@.service).
constexpr int keeper_end_signal = SIGUSR1;
constexpr std::chrono::milliseconds keeper_end_wait{100};

void for_each_number(const std::string& folder, const std::function<void(int)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), &::closedir);
  if (!entries) return;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name.find_first_not_of("0123456789") == std::string::npos) visit(std::stoi(name));
  }
}

std::string link_text(const std::string& path) {
  char text[512];
  const ssize_t bytes = ::readlink(path.c_str(), text, sizeof text);
  return bytes > 0 ? std::string(text, static_cast<std::size_t>(bytes)) : "";
}

std::string descriptors_of(pid_t process) { return "/proc/" + std::to_string(process) + "/fd"; }

// By its number and not by its path: an engine may have a root folder of its own. The name goes
// first, because asking for a number may wait where the file lies on a device that hangs.
bool has_open(pid_t process, std::string_view name, const struct stat& file) {
  bool found = false;
  const std::string folder = descriptors_of(process);
  for_each_number(folder, [&](int number) {
    const std::string path = folder + "/" + std::to_string(number);
    struct stat about {};
    if (!found && link_text(path).ends_with(name) && ::stat(path.c_str(), &about) == 0) {
      found = about.st_dev == file.st_dev && about.st_ino == file.st_ino;
    }
  });
  return found;
}

int option_of(int socket, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

// To the driver, or the driver's own to a server (--path=kernel).
bool is_connection(int socket, bool kernel_path) {
  const int domain = option_of(socket, SO_DOMAIN);
  const bool is_tcp = domain == AF_INET || domain == AF_INET6;
  return (domain == AF_UNIX || (kernel_path && is_tcp)) &&
         option_of(socket, SO_TYPE) == SOCK_STREAM && option_of(socket, SO_ACCEPTCONN) == 0;
}

// What the process has is not closed by this, but nothing can be sent to it any more.
void shut_down_connections(pid_t id, const FileDescriptor& process, bool kernel_path) {
  const std::string folder = descriptors_of(id);
  for_each_number(folder, [&](int number) {
    if (!link_text(folder + "/" + std::to_string(number)).starts_with("socket:")) return;
    const FileDescriptor ours(
        static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    if (ours.is_open() && is_connection(ours.get(), kernel_path)) {
      ::shutdown(ours.get(), SHUT_RDWR);
    }
  });
}

}  // namespace

void end_keeper(const FileDescriptor& keeper) {
  kill_process(keeper, keeper_end_signal);
  kill_process(keeper, SIGCONT);
  if (!wait_for_end(keeper, Deadline::in(keeper_end_wait))) kill_process(keeper, SIGKILL);
}

FileDescriptor keeper_of(const DeviceRecord& record, const RunFolder& folder) {
  if (record.keeper <= 0) return {};
  // In this order: the number cannot be given out again while the descriptor is there.
  FileDescriptor keeper = process_descriptor(record.keeper);
  const auto all = caretakers_of(folder, record.index);
  if (std::count(all.begin(), all.end(), record.keeper) == 0) return {};
  return keeper;
}

bool wait_for_end(const FileDescriptor& process, Deadline deadline) {
  if (!process.is_open()) return true;
  pollfd end{process.get(), POLLIN, 0};
  const auto ended = [&end] { return ::poll(&end, 1, 0) == 1; };
  return wait_until(ended, deadline);
}

FileDescriptor process_descriptor(pid_t process) {
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
}

void kill_process(const FileDescriptor& process, int signal) {
  ENSURE(process.is_open());
  ::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0);
}

std::vector<pid_t> caretakers_of(const RunFolder& folder, std::uint32_t index) {
  std::vector<pid_t> found;
  const std::string path = folder.lock_path(index);
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return found;
  const std::string name = path.substr(path.rfind('/'));
  for_each_number("/proc", [&](int process) {
    if (process != ::getpid() && has_open(process, name, file)) found.push_back(process);
  });
  return found;
}

bool end_caretakers(const DeviceRecord& record, const RunFolder& folder, Deadline deadline,
                    Log& log) {
  const auto first = caretakers_of(folder, record.index);
  const FileDescriptor keeper = keeper_of(record, folder);
  if (keeper.is_open()) end_keeper(keeper);
  const auto all_ended = [&] {
    const auto left = caretakers_of(folder, record.index);
    for (const pid_t id : left) {
      const FileDescriptor process = process_descriptor(id);
      if (!process.is_open()) continue;
      shut_down_connections(id, process, record.kernel_path);
      kill_process(process, SIGKILL);
    }
    return left.empty();
  };
  const bool ended = wait_until(all_ended, deadline);
  for (const pid_t id : first) {
    log.warning("ended a process that did not let go of a device",
                {{"device", record.device()}, {"pid", std::to_string(id)}});
  }
  return ended;
}

}  // namespace nbdring
