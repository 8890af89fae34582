#include "cli/shelter.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

bool be_spared() {
  const FileDescriptor score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  return score.is_open() && ::write(score.get(), "-1000", 5) == 5;
}

void stay_in_memory(Log& log) {
  // It may not hold more than it needs: each stack and pool would have a huge page.
  ENSURE(::prctl(PR_SET_THP_DISABLE, 1UL, 0UL, 0UL, 0UL) == 0);
  // This thread mends connections, and those that it starts from here on inherit the mark: none may
  // wait for pages to be written to the device.
  if (::prctl(PR_SET_IO_FLUSHER, 1UL, 0UL, 0UL, 0UL) != 0) {
    log.warning("the engine may wait for its own device when memory is short",
                {{"reason", error_text(errno)}});
  }
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    log.warning("the engine's memory can be swapped out", {{"reason", error_text(errno)}});
  }
  if (!be_spared()) {
    log.warning("the engine can be killed when memory is short", {{"reason", error_text(errno)}});
  }
}

}  // namespace nbdring
