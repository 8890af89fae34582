#pragma once
// From what a user calls a device to the device.

#include <functional>
#include <string>

#include "cli/options.hpp"
#include "cli/state.hpp"

namespace nbdring {

/// By device, name or identity, or by the backend as it was given to attach, maybe an alias: only
/// then the configuration file is read, so a broken one does not keep a device from its end.
/// Failure (not_found) that says what there is instead.
KnownDevice look_up(const RunFolder& folder, const std::string& target,
                    const CommonOptions& common);

/// For --all: each is tried, and whose turn fails is said in the log. The exit code is that of the
/// first that failed.
int with_each_device(const RunFolder& folder, Log& log,
                     const std::function<void(const KnownDevice&)>& turn);

}  // namespace nbdring
