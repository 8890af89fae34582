#pragma once
// Memory pressure may need this very device to write pages out: whoever serves it must neither be
// swapped out nor killed for it, nor wait for it. Any thread; needs CAP_SYS_RESOURCE.

#include "client/runtime/log.hpp"

namespace nbdring {

/// Keeps the killing when memory is short from this process, and from what it starts from here on
/// to carry a device (SpawnOptions::carries_device). False, with errno, where it may not.
bool be_spared();

/// For an engine: be_spared(), all of its memory stays as it comes to be used, and this thread and
/// those that it starts are I/O flushers. What it may not do is logged.
void stay_in_memory(Log& log);

}  // namespace nbdring
