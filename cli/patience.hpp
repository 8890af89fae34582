#pragma once
// attach --wait: a backend that is out of reach for now, as a server that boots later than its
// clients.

#include <functional>
#include <string>

#include "client/runtime/log.hpp"

namespace nbdring {

struct Patience {
  std::function<void()> open;  // throws Failure where it is out of reach
  /// For `systemctl status`: why nothing has come of it yet.
  std::function<void(const std::string&)> tell;
  int stop_fd = -1;  // readable: told to end
};

/// Opens as often as the backend is out of reach, 1 s apart at first, 10 s in the end; each new
/// reason is logged once. False: told to end. Throws what else open() throws.
bool open_when_reachable(const Patience& patience, Log& log);

}  // namespace nbdring
