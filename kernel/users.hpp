#pragma once
// Who uses a device: the driver's DISCONNECT does not ask, it fails their I/O. detach asks here
// first.
//
// Reads /proc and /sys only, never the device. Processes come and go meanwhile: what cannot be read
// is not there.

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/deadline.hpp"
#include "kernel/sysfs.hpp"

namespace nbdring {

/// In words for the user: "mounted on /mnt", "swap", "held by dm-0", "behind loop3", "open in
/// process 123 (dd)", each with the partition's name in front where it is one: "nbd0p1 mounted on
/// /mnt". Mounts of all mount namespaces.
std::vector<std::string> users_of(std::uint32_t index, const Sysfs& sysfs = Sysfs());

/// The same, after giving those who only look for a moment (udev's workers, blkid) the time to go.
/// Empty as soon as nobody is left; otherwise who is still there at the deadline. A mount or a
/// holder is reported at once.
std::vector<std::string> lasting_users_of(std::uint32_t index, Deadline deadline,
                                          const Sysfs& sysfs = Sysfs());

/// Of any block device, by its number ("8:1", of stat(2)'s st_rdev), with its partitions where it
/// is a whole one.
std::vector<std::string> lasting_users_of_number(const std::string& number, Deadline deadline,
                                                 const Sysfs& sysfs = Sysfs());

}  // namespace nbdring
