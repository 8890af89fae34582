#pragma once
// A small file that decides what root runs: the configuration, the tab.

#include <sys/types.h>

#include <optional>
#include <string>

namespace nbdring {

/// The text of a regular file of at most 1 MiB; nothing where there is no file. Throws Failure
/// (failed) that begins with `what` and the path: what cannot be read, is no regular file, is
/// larger, or, for user 0, can be written by anybody but root.
std::optional<std::string> read_trusted_file(const std::string& path, uid_t user,
                                             const std::string& what);

}  // namespace nbdring
