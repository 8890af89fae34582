#pragma once
// What an attach was asked for, with everything filled in, and what follows from it for the
// backend and for the driver.

#include <optional>
#include <string>
#include <vector>

#include "backends/open.hpp"
#include "cli/attached_device.hpp"
#include "cli/engine_link.hpp"
#include "cli/options.hpp"
#include "cli/state.hpp"
#include "client/protocol/backend_spec.hpp"

namespace nbdring {

struct Wanted {
  AttachCommand command;  // with the configuration file's defaults
  BackendSpec spec;
  std::string id;       // empty: the default one, of the process that attaches
  std::string backend;  // canonical
  bool read_only = false;
  bool bounds_log = false;  // the log may be a file of the device's own
};

/// The device on which the identity is attached already; its engine may have died with its keeper.
/// Failure (busy) where it is attached as something else. Cleans up after a dead engine whose
/// device is another one.
std::optional<KnownDevice> attached_already(const Wanted& wanted, const RunFolder& folder,
                                            Log& log);

/// The right to attach, see IdentityLock.
std::vector<IdentityLock> lock_identity(const Wanted& wanted, const RunFolder& folder);

OpenOptions open_options(const Wanted& wanted, Keepsakes* keepsakes);

/// former: of the device that is taken over, whose shape in the driver stays.
DeviceSettings device_settings(const Wanted& wanted, const Export& about,
                               const std::optional<DeviceRecord>& former);

}  // namespace nbdring
