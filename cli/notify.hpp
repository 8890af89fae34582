#pragma once
// What systemd wants to hear, and the sockets that it hands over. Does nothing where systemd did
// not start us. The only user of libsystemd, with the journal in daemon.cpp. Used by the main
// thread.

#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

/// READY=1: the service can be used. status: one line for `systemctl status`.
void notify_ready(const std::string& status);

/// STOPPING=1: the service is on its way down.
void notify_stopping();

/// The sockets of LISTEN_FDS, close-on-exec. Empty where there are none. May throw a Failure (a
/// wrong variable).
std::vector<FileDescriptor> take_activated_sockets();

}  // namespace nbdring
