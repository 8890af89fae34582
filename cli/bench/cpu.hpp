#pragma once
// Whose processor time a request costs. User and system time, with the kernel's worker threads that
// io_uring starts in a process's name; to the nanosecond (clock_getcpuclockid(3)).

#include <chrono>
#include <optional>
#include <string>

namespace nbdring {

/// Of this process without the calling thread, which only watches.
std::chrono::nanoseconds own_cpu();

/// Of another process; none where there is none.
std::optional<std::chrono::nanoseconds> cpu_of(int pid);

/// Who listens on a Unix socket that this process is connected to: the process that called
/// listen(2), which a server that forks for each client, or that systemd listens for, is not. So
/// none for process 1 and for ourselves; 0 CPU may still mean that somebody else serves.
std::optional<int> listener_of(const std::string& socket_path);

}  // namespace nbdring
