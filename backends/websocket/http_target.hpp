#pragma once
// The target of a request: its only form here is a path with an optional query (RFC 9112, 3.2.1).
// For http_head.cpp.

#include <optional>
#include <string>
#include <string_view>

#include "backends/websocket/http_head.hpp"

namespace nbdring {

/// Fills the target, or returns what is wrong with it: one clause.
std::optional<std::string> parse_target(std::string_view raw, HttpTarget& target);

}  // namespace nbdring
