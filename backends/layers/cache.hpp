#pragma once
// cache[=PATH][,size=BYTES][,mode=writethrough]: blocks of 64 KiB that were read from a slow
// backend, kept in a local file, at most BYTES of them (1 GiB unless said otherwise).
//
// The file has no name: at PATH, where nothing must be, it is made and its name taken away at once;
// without PATH it is in $TMPDIR or /var/tmp. Its space comes back when the program ends, whichever
// way. It is never taken up again: nobody could tell what others did to the backend meanwhile.
//
// Writes go below, and are acknowledged when they are there; then what the cache has of them is
// brought up to date. There is no write-back mode: a write that is acknowledged must be where the
// backend promises, and a flush that finds the backend gone could not give back what it owes.
//
// No request waits for another's: where a block is just being fetched, where all places for it are
// in use, or all buffers, the request is answered from below.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_cache_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log& log);

struct CacheOptions {
  std::string path;                              // empty: see above
  std::uint64_t bytes = std::uint64_t{1} << 30;  // from 1 MiB to 256 GiB
};

std::unique_ptr<Backend> cached(std::unique_ptr<Backend> below, const CacheOptions& options,
                                Log& log);

}  // namespace nbdring
