#pragma once
// The gateway's surroundings in a test: a thread that offers websockets to Peers as the listener
// does, and a page far away that serves a backend over as many websockets as it is told, opens
// another one when one was closed on it, leaves, or falls silent.

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "backends/websocket/peers.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

/// A loop on a thread of its own. Ends when its last task has.
class ListenerThread {
 public:
  ListenerThread();
  ~ListenerThread();

  /// The socket becomes a websocket and is offered.
  void offer(std::shared_ptr<Peers> peers, FileDescriptor socket, PeerInfo info);
  /// What Peers::makes_room() says.
  std::future<bool> asks_for_room(std::shared_ptr<Peers> peers);

 private:
  class Job;

  void run(std::promise<Loop*> started);
  Task<void> wait_until_over(Loop& loop, Scope& tasks);

  Loop* loop_ = nullptr;
  Scope* tasks_ = nullptr;
  Event over_;
  std::thread thread_;
};

class TestPage {
 public:
  /// Opens info.connections websockets.
  TestPage(ListenerThread& listener, std::shared_ptr<Peers> peers, Backend& backend, PeerInfo info);
  ~TestPage();

  /// Closes all of them with the code, and comes no more. 0: goes without a word.
  void leave(std::uint16_t code);
  /// From now on nothing answers, as when a machine has left the network; until its end.
  void fall_silent();
  /// How many websockets it has opened.
  unsigned opened() const { return opened_; }
  /// Whether one of them was closed with this code.
  bool has_heard(std::uint16_t code) const;

 private:
  class Connection;

  void keep_open(Connection& connection);

  ListenerThread& listener_;
  const std::shared_ptr<Peers> peers_;
  Backend& backend_;
  const PeerInfo info_;
  std::atomic<unsigned> opened_{0};
  mutable std::mutex heard_lock_;
  std::set<std::uint16_t> heard_;  // codes
  std::atomic<bool> is_leaving_{false};
  bool is_silent_ = false;
  std::promise<void> thaw_;
  std::shared_future<void> thawed_ = thaw_.get_future().share();
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace nbdring
