#pragma once
// The processes that look after a device, seen from another one: whoever has its lock file open
// (state.hpp), which is its engine, its keeper, and an engine that the keeper has just started.
// Their numbers are not taken from the record: it may be older than they are.
//
// For `detach --force`, where nobody answers any more.

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "cli/state.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

std::vector<pid_t> caretakers_of(const RunFolder& folder, std::uint32_t index);

/// Ends them, the keeper first so that it starts nobody, and takes their connections from them:
/// a process that is stopped, or that hangs in the kernel, reads them no more, and the driver waits
/// for room in them. True: all have ended. False: one cannot end before the kernel lets it go; it
/// has no connection any more.
bool end_caretakers(const DeviceRecord& record, const RunFolder& folder, Deadline deadline,
                    Log& log);

/// The keeper that the record names, where it is one of them; else empty.
FileDescriptor keeper_of(const DeviceRecord& record, const RunFolder& folder);
/// Where it is not ended by the signal that it knows, it is killed.
void end_keeper(const FileDescriptor& keeper);

/// A pidfd; an empty one where the process has ended.
FileDescriptor process_descriptor(pid_t process);
/// True when it has ended; also for an empty one.
bool wait_for_end(const FileDescriptor& process, Deadline deadline);
void kill_process(const FileDescriptor& process, int signal);

}  // namespace nbdring
