#pragma once
// A device gets another size while it is used. On the session's loop, which it blocks; the lanes
// serve meanwhile, but for the moment in which the backend is opened anew.
//
// Growing: the backend first, then the driver. Shrinking: the driver first; the backend is left as
// it is, so nothing is erased.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/control.hpp"
#include "cli/served_device.hpp"
#include "cli/state.hpp"
#include "client/runtime/log.hpp"
#include "kernel/attachment.hpp"

namespace nbdring {

struct ResizeParts {
  ServedDevice& served;
  Attachment& attachment;
  DeviceRecord& record;
  RecordFile& record_file;
  Log& log;
};

/// size: bytes; none: what the backend has. force: also smaller. The body of the reply tells the
/// former size, the new one and how long I/O waited.
ControlReply resize_device(const ResizeParts& parts, std::optional<std::uint64_t> size, bool force);

/// What a reply's body tells.
struct ResizeResult {
  std::uint64_t before = 0;  // bytes
  std::uint64_t size = 0;    // bytes
  std::uint64_t stall_ms = 0;
  friend bool operator==(const ResizeResult&, const ResizeResult&) = default;
};
std::string to_body(const ResizeResult& result);
/// Nothing where the text is no such body.
std::optional<ResizeResult> resize_result(const std::string& body);

}  // namespace nbdring
