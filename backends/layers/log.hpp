#pragma once
// log=PATH: a line for each request, appended to a file when the request has ended:
//
//   start=1700000000.000100 end=1700000000.000350 us=250 lane=0 command=write offset=4096
//   length=512 flags=fua result=ok
//
// on one line; times are seconds since 1970, flags fua, no-hole and fast-zero or none, the result
// ok or an errno's name.
//
// Each line is one write(2) of the lane's thread into the page cache, which the request waits for.
// So the file must not lie on the device itself, nor on a file system that needs it: it would wait
// for itself. A line that cannot be written is lost and counted; the request goes on.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_log_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log);

}  // namespace nbdring
