#pragma once
// What must not die with an engine: open files that somebody who outlives it holds too, so that the
// next engine of the same device finds in them what exists nowhere else (the bytes of memory:, the
// overlay of a cow, the remote's acknowledged writes), and its connections to a server.
//
// A file here is memory (memfd) or has no name; what its owner keeps in it is right at every moment
// for everything that has been acknowledged, for kill -9 comes at any moment. A crash of the
// machine ends it all.
//
// Names: 1 to 60 of a-z, 0-9, '.' and '-'; one per device and purpose.
//
// Any thread; it outlives the backend. Never on the way of a request.

#include <optional>
#include <string>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class Keepsakes {
 public:
  /// How the names of connections begin. They are the engine's that made them: an upgrade does not
  /// pass them on.
  static constexpr const char* connection_prefix = "connection-";

  virtual ~Keepsakes() = default;

  /// A descriptor of its own for what a former engine kept under this name.
  virtual std::optional<FileDescriptor> find(const std::string& name) = 0;
  /// Held by whoever outlives the engine when this returns, in place of what was kept under the
  /// name before. Throws Failure where it cannot be.
  virtual void keep(const std::string& name, int fd) = 0;
  /// Nobody holds it any more.
  virtual void drop(const std::string& name) noexcept = 0;
};

}  // namespace nbdring
