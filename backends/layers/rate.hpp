#pragma once
// rate=BYTES[/s]: so many bytes a second are read and written, by all lanes together; requests wait
// in the order of their coming. Commands without a payload pass. After a pause an eighth of a
// second's bytes go at once, and never more than that and one request.
//
// A token bucket that is one number: the time at which the next request's turn comes. Requests that
// wait longer than attach's --timeout are given up by the driver.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_rate_layer(std::unique_ptr<Backend> below,
                                         const LayerArgument& argument, Log& log);

}  // namespace nbdring
