#pragma once
// `nbdring resize` beyond the end of a local file.

#include <cstdint>

#include "client/protocol/backend_spec.hpp"

namespace nbdring {

/// Makes the file behind the argument long enough for an export of that many bytes: what is new is
/// a hole that reads as zeros. A file that is long enough stays as it is. Throws Failure (usage)
/// for what is not a regular file that is written from some offset on to its end, (failed) where
/// the file system refuses.
void grow_file(const BackendSpec& spec, std::uint64_t bytes);

}  // namespace nbdring
