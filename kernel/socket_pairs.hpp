#pragma once
// The connections between the driver and the lanes: socketpairs, AF_UNIX stream (what every driver
// takes). Both ends are set up here, before CONNECT: the driver's end is not to be touched any more
// once it has it.

#include <memory>
#include <vector>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

struct SocketPairs {
  std::vector<FileDescriptor> lanes;
  std::shared_ptr<const std::vector<FileDescriptor>> driver;  // in the same order
};

SocketPairs make_socket_pairs(unsigned count);

}  // namespace nbdring
