#pragma once
// What the driver is told of an export: its size in whole blocks, its block size, what of its flags
// the driver understands.

#include <cstdint>

#include "client/protocol/export.hpp"
#include "client/runtime/log.hpp"
#include "kernel/attachment.hpp"
#include "kernel/netlink.hpp"

namespace nbdring {

struct DeviceShape {
  ConnectRequest request;              // without index, sockets and size: the size comes later
  std::uint64_t size = 0;              // bytes, whole blocks
  std::uint32_t request_size_max = 0;  // bytes
};

/// Failure where the export has no whole block or the block size does not fit it. The log says what
/// cannot be reached.
DeviceShape shape_of(const Export& about, const AttachOptions& options, Log& log);

}  // namespace nbdring
