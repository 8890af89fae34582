#pragma once
// error=ERRNO[:RATE%][:COMMAND][:file=PATH]: requests fail, so that what is above can be tried.
//
//   ERRNO     EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP or ESHUTDOWN: those that NBD
//             has
//   RATE%     how many, 100% where it is not said; "0.5%" will do
//   COMMAND   read, write, flush, trim, zero or extents; all where it is not said
//   file=     only while PATH exists; a call per request looks, so it is for tests and for no
//             path on the device itself. Comes last: the rest is the path
//
// A request that fails is not done.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_error_layer(std::unique_ptr<Backend> below,
                                          const LayerArgument& argument, Log& log);

}  // namespace nbdring
