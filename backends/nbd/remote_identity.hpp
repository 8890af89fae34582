#pragma once
// Whether what a server offers now is the export that was attached.

#include <string>

#include "client/protocol/export.hpp"

namespace nbdring {

/// The first difference that matters, as one clause; empty: the same export, as far as one can see.
/// What was promised upwards must hold: the bytes (there may be more of them), writing, the block
/// size, what makes data durable or discards it.
std::string difference(const Export& attached, const Export& offered);

}  // namespace nbdring
