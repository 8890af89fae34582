#pragma once
// Which end of a websocket we are. It decides who masks (RFC 6455, 5.1): a client every frame with
// a fresh key, a server none.

#include <cstdint>

namespace nbdring {

enum class WebsocketRole : std::uint8_t { client, server };

}  // namespace nbdring
