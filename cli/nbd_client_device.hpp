#pragma once
// What nbd-client's words for a device are as options of attach.

#include "cli/nbd_client_command.hpp"
#include "cli/options.hpp"

namespace nbdring {

/// As `nbdring attach` would have got it. Throws Failure (usage).
AttachCommand attach_command(const NbdClientDevice& device);

}  // namespace nbdring
