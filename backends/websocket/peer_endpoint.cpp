#include "backends/websocket/peer_endpoint.hpp"

#include <utility>

#include "backends/websocket/peer_stream.hpp"

namespace nbdring {

PeerEndpoint::PeerEndpoint(std::shared_ptr<Peers> peers, std::string text)
    : peers_(std::move(peers)), text_(std::move(text)) {}

std::chrono::milliseconds PeerEndpoint::connect_time() const { return peers_->options().away_time; }

Task<std::unique_ptr<Stream>> PeerEndpoint::connect(Loop& loop, Clock::time_point deadline) {
  auto stream = co_await peers_->take(loop, deadline);
  if (!stream->is_private()) is_private_ = false;
  std::unique_ptr<Stream> connection = std::move(stream);
  co_return std::move(connection);
}

}  // namespace nbdring
