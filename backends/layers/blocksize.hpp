#pragma once
// blocksize=BYTES: the smallest block that is offered, a power of two from 1 to 65536.
//
// Larger than below: requests are those of larger blocks, and nothing else changes. Smaller: parts
// of blocks are read from the block below; a change of a part reads the block, changes it and
// writes it back, while no other request of any lane changes that block. Other programs that write
// to the same backend meanwhile are not seen. TRIM of parts does nothing, WRITE_ZEROES of parts
// with FAST_ZERO fails with ENOTSUP.
//
// What a block at the end does not fill is cut off, with a warning.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_blocksize_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log& log);

}  // namespace nbdring
