#pragma once
// readahead[=BYTES]: for a slow backend that is read from one end to the other. A lane that sees
// its reads follow each other fetches what comes next, up to BYTES (1 MiB unless said otherwise)
// ahead, in four pieces that are fetched side by side.
//
// It never answers with what was there before: each change, of any lane, advances the stamps of its
// regions (1 MiB each, in a table that regions share) before it is acknowledged. What was fetched
// is used only while the stamps are what they were when its fetch began, so a fetch that ran beside
// a change is thrown away with all the others. A change that is not acknowledged yet may be seen
// or not, as always.
//
// A lane's buffer is there from the start, BYTES each; a read that finds nothing in it goes below
// as if the layer were not there. A fetch that fails is forgotten: the read that needs its bytes
// asks for itself.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_readahead_layer(std::unique_ptr<Backend> below,
                                              const LayerArgument& argument, Log& log);

/// bytes: a multiple of 256 KiB.
std::unique_ptr<Backend> read_ahead(std::unique_ptr<Backend> below, std::uint64_t bytes);

}  // namespace nbdring
