#pragma once
// What systemd wants to hear, and the sockets that it hands over. Does nothing where systemd did
// not start us. The only user of libsystemd, with the journal in daemon.cpp. Used by the main
// thread.

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

/// READY=1: the service can be used. status: one line for `systemctl status`.
void notify_ready(const std::string& status);

/// STOPPING=1: the service is on its way down.
void notify_stopping();

/// Any other state, in systemd's words (sd_notify(3)).
void notify_text(const std::string& state);

/// How often systemd wants to hear WATCHDOG=1 at least; 0: not at all.
std::chrono::milliseconds notify_watchdog_interval();

/// Leaves a duplicate in systemd's store, in place of the one of this name; the next process of the
/// service finds it there. And takes it out.
void notify_store(const std::string& name, int fd);
void notify_forget(const std::string& name);
/// What is in the store, close-on-exec, by name.
std::map<std::string, FileDescriptor> take_stored_descriptors();

/// The sockets of LISTEN_FDS, close-on-exec. Empty where there are none. May throw a Failure (a
/// wrong variable).
std::vector<FileDescriptor> take_activated_sockets();

}  // namespace nbdring
