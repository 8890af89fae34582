#pragma once
// For handshakes, where nothing else is sent meanwhile.

#include <cstddef>
#include <span>

#include "client/runtime/loop.hpp"
#include "client/transport/stream.hpp"

namespace nbdring {

/// Waits until all bytes are out. False when the peer has gone, or a deadline has shut the stream
/// down. The bytes stay alive until then.
Task<bool> send_all(Loop& loop, Stream& stream, std::span<const std::byte> bytes);

}  // namespace nbdring
