#include "cli/bench/cpu.hpp"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

namespace nbdring {
namespace {

std::chrono::nanoseconds time_of(clockid_t clock) {
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

bool is_connected_to(int fd, const std::string& path) {
  sockaddr_un peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return false;
  return peer.sun_family == AF_UNIX &&
         path == std::string(peer.sun_path, ::strnlen(peer.sun_path, sizeof peer.sun_path));
}

}  // namespace

std::chrono::nanoseconds own_cpu() {
  return time_of(CLOCK_PROCESS_CPUTIME_ID) - time_of(CLOCK_THREAD_CPUTIME_ID);
}

std::optional<std::chrono::nanoseconds> cpu_of(int pid) {
  clockid_t clock{};
  if (pid <= 0 || ::clock_getcpuclockid(pid, &clock) != 0) return std::nullopt;
  const auto time = time_of(clock);
  return time.count() > 0 ? std::optional(time) : std::nullopt;
}

std::optional<int> listener_of(const std::string& socket_path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open_files(::opendir("/proc/self/fd"), &::closedir);
  if (!open_files) return std::nullopt;
  while (const dirent* entry = ::readdir(open_files.get())) {
    const int fd = std::atoi(entry->d_name);
    ucred peer{};
    socklen_t length = sizeof peer;
    if (!is_connected_to(fd, socket_path)) continue;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) continue;
    if (peer.pid > 1 && peer.pid != ::getpid()) return peer.pid;
  }
  return std::nullopt;
}

}  // namespace nbdring
