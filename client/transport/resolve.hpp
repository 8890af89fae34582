#pragma once
// A host's name to addresses, without making the loop wait: getaddrinfo() cannot be told to, so it
// runs in a thread of its own, which is left to itself when the deadline comes first.

#include <functional>
#include <string>
#include <vector>

#include "client/transport/connect.hpp"

namespace nbdring {

struct Resolution {
  std::vector<SocketAddress> addresses;  // in the system's order (RFC 6724)
  std::string problem;                   // where there are none: why
};

/// Blocks. Anything else than the system's only in tests.
using Lookup = std::function<Resolution(const std::string& host, std::uint16_t port)>;
Resolution look_up(const std::string& host, std::uint16_t port);

/// An address as text is taken at once. Throws Failure (failed) where there can be no thread.
Task<Resolution> resolve(Loop& loop, const std::string& host, std::uint16_t port,
                         Clock::time_point deadline, const Lookup& lookup);

}  // namespace nbdring
