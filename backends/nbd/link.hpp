#pragma once
// A connection and what fits requests to its server.

#include <memory>
#include <utility>

#include "backends/nbd/connection.hpp"
#include "backends/nbd/shape.hpp"

namespace nbdring {

struct Link {
  Link(Loop& loop, Dialled dialled, const ConnectionOptions& options)
      : connection(loop, std::move(dialled), options), shape(loop, connection) {}

  Connection connection;
  Shape shape;
};

}  // namespace nbdring
