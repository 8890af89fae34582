#pragma once
// The device that the root file system is on (`attach --root-device`, from the initramfs): its
// engine lives in a root and a mount namespace of its own and ends after everybody else
// (systemd/initramfs/start).

#include <string>

namespace nbdring {

/// systemd's last killing at shutdown spares processes whose argv[0] begins with '@'
/// (https://systemd.io/ROOT_STORAGE_DAEMONS/): this one, and those that it forks from here on.
/// The name is changed in place; call it while there is one thread.
void mark_for_final_kill() noexcept;

/// What a process calls the program that is `program` here. In our own root that is the same. Into
/// another root the program is copied, with its libraries (systemd/initramfs/copy-program): it may
/// take seconds. Failure where it cannot be.
std::string program_in_root_of(int pid, const std::string& program);

}  // namespace nbdring
