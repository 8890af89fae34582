#pragma once
// readonly: what is below is only read. Unlike `-r`, which opens the backend itself for reading, it
// can stand anywhere in the stack.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_readonly_layer(std::unique_ptr<Backend> below,
                                             const LayerArgument& argument, Log& log);

/// The same, without an argument to check.
std::unique_ptr<Backend> read_only(std::unique_ptr<Backend> below);

}  // namespace nbdring
