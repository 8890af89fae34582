#include "cli/notify.hpp"

#include <systemd/sd-daemon.h>

#include "client/runtime/error.hpp"

namespace nbdring {

// A service manager that does not listen is no reason to stop serving: results are ignored.

void notify_ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

std::vector<FileDescriptor> take_activated_sockets() {
  const int count = sd_listen_fds(1);  // 1: children must not take them for theirs
  if (count < 0) fail_errno(FailureKind::failed, "cannot take the sockets of LISTEN_FDS", -count);
  std::vector<FileDescriptor> sockets;
  for (int i = 0; i < count; ++i) sockets.emplace_back(SD_LISTEN_FDS_START + i);
  return sockets;
}

}  // namespace nbdring
