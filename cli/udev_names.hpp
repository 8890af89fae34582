#pragma once
// What udev makes names of: /dev/disk/by-nbd/NAME, and /dev/disk/by-id/nbdring-ID
// (systemd/60-nbdring.rules).

#include <cstdint>
#include <string>

#include "cli/state.hpp"

namespace nbdring {

/// "NBDRING_NAME=data\nNBDRING_ID_ENC=file:\x2fsrv\x2fdata.img\n" of a device whose engine lives:
/// no name, no line. Empty where there is none.
std::string udev_names(const RunFolder& folder, std::uint32_t index, const Sysfs& sysfs = Sysfs());

}  // namespace nbdring
