#include "cli/notify.hpp"

#include <systemd/sd-daemon.h>

#include <cstdlib>

#include "client/runtime/error.hpp"

namespace nbdring {

// A service manager that does not listen is no reason to stop serving: results are ignored.

void notify_ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

void notify_text(const std::string& state) { sd_notify(0, state.c_str()); }

std::chrono::milliseconds notify_watchdog_interval() {
  std::uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return std::chrono::milliseconds(0);
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::microseconds(microseconds));
}

void notify_store(const std::string& name, int fd) {
  notify_forget(name);
  const std::string state = "FDSTORE=1\nFDNAME=" + name;
  sd_pid_notify_with_fds(0, 0, state.c_str(), &fd, 1);
}

void notify_forget(const std::string& name) {
  sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str());
}

std::map<std::string, FileDescriptor> take_stored_descriptors() {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  std::map<std::string, FileDescriptor> stored;
  for (int i = 0; i < count; ++i) {
    stored[names[i]] = FileDescriptor(SD_LISTEN_FDS_START + i);
    std::free(names[i]);
  }
  std::free(names);
  return stored;
}

std::vector<FileDescriptor> take_activated_sockets() {
  const int count = sd_listen_fds(1);  // 1: children must not take them for theirs
  if (count < 0) fail_errno(FailureKind::failed, "cannot take the sockets of LISTEN_FDS", -count);
  std::vector<FileDescriptor> sockets;
  for (int i = 0; i < count; ++i) sockets.emplace_back(SD_LISTEN_FDS_START + i);
  return sockets;
}

}  // namespace nbdring
