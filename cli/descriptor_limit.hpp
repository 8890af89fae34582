#pragma once
// Linux lets a process have 1024 descriptors unless it asks for more (setrlimit(2), RLIMIT_NOFILE).
// Who serves many clients asks at its start, before any comes.

#include <cstddef>

#include "client/runtime/log.hpp"

namespace nbdring {

/// What a server needs for so many clients. Of each: its socket and its loop's ring and eventfd,
/// with a remote backend the socket to the server, and the two ends of the pipes on either side of
/// a READ by reference.
std::size_t descriptors_for(std::size_t clients);

/// Raises the soft limit to the count, or as far as the hard one lets us and says so in a warning.
/// Children inherit it.
void need_descriptors(std::size_t count, Log& log);

}  // namespace nbdring
