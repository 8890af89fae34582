#pragma once
// What keeps `nbdring bench` from destroying something: who uses a target, and what a write would
// cost.

#include <cstdint>
#include <string>
#include <vector>

#include "client/protocol/backend_spec.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// In words, as lasting_users_of() has them: of a block device and its partitions everybody who has
/// it mounted, holds it or has it open, of a file the loop devices over it. Those who look at a
/// device only for a moment get the time to go. Empty for what is neither.
std::vector<std::string> users_of_path(const std::string& path, const Sysfs& sysfs = Sysfs());

bool is_block_device(const std::string& path);

/// Throws Failure (busy) "... is in use: mounted on /mnt; ...".
void refuse_used(const std::string& shown, const std::vector<std::string>& users);

/// "the 10.0 GiB of /dev/nbd0 (srv, mounted on /mnt)"; a part of them with where it begins.
struct WrittenRange {
  std::uint64_t offset = 0;  // bytes
  std::uint64_t size = 0;    // bytes, of the part
  std::uint64_t whole = 0;   // bytes, of the target
};
std::string loss_text(const WrittenRange& range, const std::string& shown,
                      const std::vector<std::string>& notes);

}  // namespace nbdring
