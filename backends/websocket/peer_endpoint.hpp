#pragma once
// Peers as an endpoint: a connection is not made but awaited. The remote backend runs over it as
// over any other.

#include <atomic>
#include <memory>
#include <string>

#include "backends/nbd/endpoint.hpp"
#include "backends/websocket/peers.hpp"

namespace nbdring {

class PeerEndpoint final : public Endpoint {
 public:
  /// text: for messages, "the peer of configuration '0'".
  PeerEndpoint(std::shared_ptr<Peers> peers, std::string text);

  Task<std::unique_ptr<Stream>> connect(Loop& loop, Clock::time_point deadline) override;
  std::chrono::milliseconds connect_time() const override;
  /// False while the peer has a single connection.
  bool reaches_one_server() const override { return peers_->connections() > 1; }
  bool waits_by_itself() const override { return true; }
  /// What is known of the connections that came so far: all of them had TLS or were local.
  bool is_private() const override { return is_private_; }
  const std::string& text() const override { return text_; }

 private:
  const std::shared_ptr<Peers> peers_;
  const std::string text_;
  std::atomic<bool> is_private_{true};
};

}  // namespace nbdring
