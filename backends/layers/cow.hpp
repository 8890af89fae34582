#pragma once
// cow[=PATH]: what is below is never written; blocks that change go to an overlay, a sparse file
// of its own. So a read-only base can be written above, and many devices can share one base.
//
// Without PATH the overlay is a file without a name in $TMPDIR or /var/tmp, gone with the program.
// A flush of it has nothing to do, for nobody can come back to it.
//
// With PATH it survives the program and a crash of the machine: FLUSH and FUA bring the data and
// the map to stable storage (cow_file.hpp). What was written and not flushed may be lost when the
// program is killed and nobody holds its keepsakes, block by block, as in any cache that writes
// back. A sync that fails fails all that come later, and the map in the file stays as it was.
//
// Where somebody holds the keepsakes, nothing that was acknowledged is lost with the program: the
// map is one ("cow-N-map"), and an overlay without a name is another ("cow-N-data").
//
// A block is 64 KiB. The first change of a part of it copies the rest from below; until it is done,
// other changes of that block wait, whichever lane they came by. From then on the block is the
// overlay's for good, and requests go straight to the file. Reads take no lock: while a block is
// being copied, below has what it had before.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_cow_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log);

struct CowOptions {
  std::string path = {};  // empty: a file without a name
  LayerOptions layer = {};
  std::string map_keepsake = "cow-0-map";
  std::string data_keepsake = "cow-0-data";
};

std::unique_ptr<Backend> copy_on_write(std::unique_ptr<Backend> below, const CowOptions& options,
                                       Log& log);

}  // namespace nbdring
