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
  /// What stands between the connection and its socket.
  std::function<std::unique_ptr<Stream>(std::unique_ptr<Stream>)> wrap;
  std::uint64_t size = 64 * 1024 * 1024;
  std::uint16_t flags = 0xffff & ~nbd::flag_read_only;
  BlockSizeConstraints block_size;

  Loop* loop = nullptr;  // while run() runs

  // What is left when run() has ended.
  Connection::Fence fence = Connection::Fence::unknown;
  std::string lost_reason;
  bool was_misled = false;
  std::uint64_t frame_fallbacks = 0;

  Dialled dialled(Loop& own, FileDescriptor socket) const {
    Dialled dialled;
    dialled.socket = std::make_unique<SocketStream>(own, std::move(socket));
    if (wrap) dialled.socket = wrap(std::move(dialled.socket));
    dialled.about.size = size;
    dialled.about.transmission_flags = flags;
    dialled.about.block_size = block_size;
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
    Loop own(loop_options);
    loop = &own;
    Connection connection(own, dialled(own, std::move(socket)), options);
    own.run(drive(own, connection, body));
    was_misled = connection.was_misled();
    frame_fallbacks = own.frames().fallbacks();
    loop = nullptr;
  }

 private:
  Task<void> drive(Loop&, Connection& connection, const Body& body) {
    co_await body(connection);
    lost_reason = connection.lost_reason();
    fence = co_await connection.end(end_deadline);
  }
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
