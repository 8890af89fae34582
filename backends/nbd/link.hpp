#pragma once
// A connection and what fits requests to its server.

#include <memory>
#include <utility>

#include "backends/nbd/connection.hpp"
#include "backends/nbd/kept_connections.hpp"
#include "backends/nbd/shape.hpp"

namespace nbdring {

/// The server's offer has been presented() (shape_rules.hpp).
struct Link {
  Link(Loop& loop, Dialled dialled, const ConnectionOptions& options, ConnectionHold held)
      : hold(std::move(held)),
        connection(loop, std::move(dialled), options),
        shape(loop, connection) {}

  ConnectionHold hold;  // until it is known how the connection has ended
  Connection connection;
  Shape shape;
};

/// Throws Failure where the offer breaks the protocol's rules or cannot be used.
inline std::unique_ptr<Link> make_link(Loop& loop, Dialled dialled,
                                       const ConnectionOptions& options, ConnectionHold hold) {
  static_cast<void>(presented(dialled.about));
  return std::make_unique<Link>(loop, std::move(dialled), options, std::move(hold));
}

}  // namespace nbdring
