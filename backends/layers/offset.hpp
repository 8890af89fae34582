#pragma once
// offset=BYTES[,size=BYTES]: a part of what is below, from an offset on. partition= and tar= find
// such a part and use the same.

#include "backends/layers/layers_argument.hpp"

namespace nbdring {

struct Window {
  std::uint64_t offset = 0;  // bytes
  std::uint64_t size = 0;    // bytes
};

/// The window lies within what is below. Throws Failure (usage) where its ends are not those of
/// blocks below.
std::unique_ptr<Backend> windowed(std::unique_ptr<Backend> below, const Window& window,
                                  const LayerArgument& argument);

std::unique_ptr<Backend> make_offset_layer(std::unique_ptr<Backend> below,
                                           const LayerArgument& argument, Log& log);

}  // namespace nbdring
