#pragma once
// partition=N: one partition of what is below. The table is read once, when the layer is made
// (partition_table.hpp).

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_partition_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log& log);

}  // namespace nbdring
