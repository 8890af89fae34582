#pragma once
// What a peer wrote, made fit for the log and for a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace nbdring {

/// At most `bytes_max` bytes of valid UTF-8 without control, direction and other invisible
/// characters; each byte that cannot stay becomes '?', and "..." stands for what was cut off.
/// Nobody can move a cursor, forge a line or hide a word with it.
std::string printable(std::string_view text, std::size_t bytes_max = 256);

}  // namespace nbdring
