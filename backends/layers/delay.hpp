#pragma once
// delay=MS, or delay=read:MS,write:MS and so on: each request waits before it is done, as with a
// slow disk or a far one. MS alone is for every command; write: is for trim and zero too where they
// are not named. At most ten minutes; the driver gives a request up after attach's --timeout.
//
// The wait is a timer of the lane's loop: any number of requests wait at once.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_delay_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log& log);

}  // namespace nbdring
