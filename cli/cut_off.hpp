#pragma once
// Who would lose something when a device is made smaller.

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/sysfs.hpp"

namespace nbdring {

/// Of users_of(), in its words, those that reach behind the first `size` bytes: every user of a
/// partition that does, a file system on the whole device that is larger, swap, other devices. Who
/// merely has the whole device open is none: such programs ask for the size.
std::vector<std::string> users_behind(std::uint32_t index, std::uint64_t size,
                                      const Sysfs& sysfs = Sysfs());

/// The partitions that end behind the first `size` bytes, used or not: "nbd0p2".
std::vector<std::string> partitions_behind(std::uint32_t index, std::uint64_t size,
                                           const Sysfs& sysfs = Sysfs());

}  // namespace nbdring
