#pragma once
// The file of a client's token: one line "id:secret", for its owner alone. Any thread; both calls
// wait for the disk.

#include <string>
#include <string_view>

namespace nbdring {

/// Printable, without blanks, with something on both sides of a ':'; at most 1 KiB.
bool is_client_token(std::string_view text);

/// Throws Failure: usage where there is no such file or no token in it, refused where others can
/// read it.
std::string read_client_token(const std::string& path);

/// When it returns the new token is on the disk, in the old one's place, for its owner alone; until
/// then the old one is there. Throws Failure (failed).
void replace_client_token(const std::string& path, std::string_view token);

}  // namespace nbdring
