#pragma once
// A Connection with a scripted server at its other end: a test's coroutine on a loop of its own,
// the server on another thread. Ends the connection when the test's coroutine has ended.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "backends/nbd/connection.hpp"
#include "client/runtime/scope.hpp"
#include "client/transport/socket.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/server_side.hpp"

namespace nbdring {

inline constexpr std::uint32_t test_context = 7;  // base:allocation's number

struct Connected {
  using Body = std::function<Task<void>(Connection&)>;

  TransmissionOptions transmission;
  ConnectionOptions options;
  std::chrono::milliseconds end_deadline{2'000};
  LoopOptions loop_options;

  // What is left when run() has ended.
  Connection::Fence fence = Connection::Fence::unknown;
  std::string lost_reason;
  bool was_misled = false;
  std::uint64_t frame_fallbacks = 0;

  static Dialled dialled(Loop& loop, FileDescriptor socket,
                         const TransmissionOptions& transmission) {
    Dialled dialled;
    dialled.socket = std::make_unique<SocketStream>(loop, std::move(socket));
    dialled.about.size = 64 * 1024 * 1024;
    dialled.transmission = transmission;
    dialled.base_allocation_context = test_context;
    return dialled;
  }

  void run(const ScriptedServer::Script& script, const Body& body) {
    SocketPair sockets;
    ScriptedServer server(std::move(sockets.far), script, transmission.extended_headers);
    run_on(std::move(sockets.near), body);
  }

  void run_on(FileDescriptor socket, const Body& body) {
    Loop loop(loop_options);
    Connection connection(loop, dialled(loop, std::move(socket), transmission), options);
    loop.run(drive(loop, connection, body));
    lost_reason = reason_;
    was_misled = connection.was_misled();
    frame_fallbacks = loop.frames().fallbacks();
  }

 private:
  Task<void> drive(Loop& loop, Connection& connection, const Body& body) {
    static_cast<void>(loop);
    co_await body(connection);
    reason_ = connection.lost_reason();
    fence = co_await connection.end(end_deadline);
  }

  std::string reason_;
};

/// Several requests at once.
class Asked {
 public:
  explicit Asked(Connection& connection) : scope_(connection.frames()) {}

  /// Returns the number under which its answer is found.
  std::size_t ask(Task<Answer> task) {
    answers_.push_back({});
    scope_.spawn(keep(*this, std::move(task), answers_.size() - 1));
    return answers_.size() - 1;
  }
  Scope::Join join() { return scope_.join(); }
  FramePool& frames() { return scope_.frames(); }

  const Answer& answer(std::size_t number) const { return answers_[number]; }
  /// Numbers, in the order in which the answers came.
  const std::vector<std::size_t>& order() const { return order_; }

 private:
  static Task<void> keep(Asked& asked, Task<Answer> task, std::size_t number) {
    const Answer answer = co_await task;
    asked.answers_[number] = answer;
    asked.order_.push_back(number);
  }

  Scope scope_;
  std::vector<Answer> answers_;
  std::vector<std::size_t> order_;
};

}  // namespace nbdring
