#pragma once
// Our websocket held against other people's, as a program for tests/interop/ws-codec-oracles.sh.

#include <cstdint>
#include <string>

#include "backends/websocket/role.hpp"

namespace nbdring {

/// Random conversations, also broken ones, through our codec and libwslay. Exit status.
int compare_with_wslay(std::uint64_t seeds);

/// Connects to a Unix socket, where a websocket without its HTTP head begins, and sends back what
/// it receives until the end; prints how it ended. Exit status.
int echo(WebsocketRole role, const std::string& path);

}  // namespace nbdring
