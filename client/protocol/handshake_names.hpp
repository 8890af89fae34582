#pragma once
// The protocol document's names for numbers of the handshake, for messages.

#include <cstdint>
#include <string>

namespace nbdring {

/// "GO"; "option 99"
std::string option_name(std::uint32_t option);
/// "ERR_UNSUP"; "error 0x80000042"
std::string reply_error_name(std::uint32_t type);

}  // namespace nbdring
