#pragma once
// The journals of a device, written again: in the order of the acknowledgements, so that the newest
// write is the last word, and then flushed. What does not overlap goes out together.

#include <cstdint>
#include <string>
#include <vector>

#include "backends/nbd/journal.hpp"
#include "backends/nbd/link.hpp"

namespace nbdring {

struct Replay {
  bool is_done = false;      // all of it is on stable storage
  std::string failure;       // else: why, one clause
  bool has_written = false;  // something was sent
  std::uint64_t writes = 0;
  std::uint64_t bytes = 0;
};

/// durable: entries up to this sequence are not needed. The journals are nobody else's meanwhile.
Task<Replay> replay(Loop& loop, Link& link, std::vector<const Journal*> journals,
                    std::uint64_t durable);

}  // namespace nbdring
