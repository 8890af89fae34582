#pragma once
// From the first argument of every command to a backend that is open.

#include <memory>

#include "client/engine/backend.hpp"
#include "client/protocol/backend_spec.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct OpenOptions {
  bool read_only = false;  // on top of what the argument itself says
};

/// Throws Failure: the kind tells a wrong argument from a backend that is not there.
std::unique_ptr<Backend> open_backend(const BackendSpec& spec, const OpenOptions& options,
                                      Log& log);

}  // namespace nbdring
