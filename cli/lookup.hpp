#pragma once
// From what a user calls a device to the device.

#include <string>

#include "cli/options.hpp"
#include "cli/state.hpp"

namespace nbdring {

/// By device, name or identity, or by the backend as it was given to attach, maybe an alias: only
/// then the configuration file is read, so a broken one does not keep a device from its end.
/// Failure (not_found) that says what there is instead.
KnownDevice look_up(const RunFolder& folder, const std::string& target,
                    const CommonOptions& common);

}  // namespace nbdring
