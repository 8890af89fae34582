#pragma once
// What --help prints: at most 80 columns, options with units and defaults, examples that work when
// copied.

#include <string>

namespace nbdring {

/// The text for a command ("attach"), for the program where the command is empty, or for
/// "nbd-client".
std::string help_text(const std::string& command);

}  // namespace nbdring
