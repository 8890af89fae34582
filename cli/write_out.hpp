#pragma once
// Everything that the kernel still has in memory for a device, out to the device.

#include <chrono>
#include <string>

#include "client/runtime/log.hpp"

namespace nbdring {

/// Returns within the wait; after some seconds the log says that it takes longer. Failure where it
/// did not end, or something could not be written: with what to do.
void write_out(const std::string& device, std::chrono::milliseconds wait, Log& log);

}  // namespace nbdring
