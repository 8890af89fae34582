#pragma once
// tar=MEMBER: what is below is a tar archive, and the device one of its members. A member lies in
// one piece, so it can be written to; its size stays.
//
// Of an XVA, XenServer's export of a machine, MEMBER is the folder of a disk, "Ref:12": its blocks
// of 1 MiB together, with zeros where there is none, read-only. The disk ends with its last block.
// The blocks' own checksums are not looked at.
//
// The archive's headers are read once, when the layer is made: one read for each member.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

std::unique_ptr<Backend> make_tar_layer(std::unique_ptr<Backend> below,
                                        const LayerArgument& argument, Log& log);

}  // namespace nbdring
