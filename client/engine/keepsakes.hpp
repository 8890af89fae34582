#pragma once
// What must not die with an engine: open files that somebody who outlives it holds too, so that the
// next engine of the same device finds in them what exists nowhere else (the bytes of memory:, the
// overlay of a cow, the remote's acknowledged writes).
//
// A file here is memory (memfd) or has no name; what its owner keeps in it is right at every moment
// for everything that has been acknowledged, for kill -9 comes at any moment. A crash of the
// machine ends it all.
//
// Names: 1 to 60 of a-z, 0-9, '.' and '-'; one per device and purpose.
//
// Used while a backend is made or a lane is opened, by one thread at a time; it outlives the
// backend.

#include <optional>
#include <string>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class Keepsakes {
 public:
  virtual ~Keepsakes() = default;

  /// A descriptor of its own for what a former engine kept under this name.
  virtual std::optional<FileDescriptor> find(const std::string& name) = 0;
  /// Held by whoever outlives the engine when this returns, in place of what was kept under the
  /// name before. Throws Failure where it cannot be.
  virtual void keep(const std::string& name, int fd) = 0;
};

}  // namespace nbdring
