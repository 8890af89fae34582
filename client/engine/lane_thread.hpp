#pragma once
// A thread with a loop and a connected socket: where a lane lives. Owned by a Device or a Server;
// the body runs on the new thread, and the thread's end is told by a callback on that thread.

#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/loop.hpp"
#include "client/transport/socket.hpp"

namespace nbdring {

/// Marks the calling thread as part of the write-back path: its allocations never wait for I/O, and
/// its writes are not throttled as those of the writers it serves. Throws Failure (cannot_attach).
void become_io_flusher();

struct LaneThreadOptions {
  std::string name;         // of the thread, at most 15 characters (pthread_setname_np)
  bool io_flusher = false;  // see DeviceOptions
};

class LaneThread {
 public:
  using Body = std::function<Task<void>(Loop&, SocketStream&)>;
  using Ended = std::function<void(std::exception_ptr)>;

  /// Starts at once. `ended` is called last, on the thread, with what the body threw or null; the
  /// socket is closed then, unless the body took it.
  LaneThread(const LaneThreadOptions& options, FileDescriptor socket, Body body, Ended ended);
  ~LaneThread();  // joins
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  /// Shuts the socket down, so that the body finds the end of its stream. Any thread, also after
  /// the end.
  void shut_down() noexcept;

  /// Delivers it on the lane's loop while the body runs; else it is not delivered. Any thread; the
  /// message is not under way, and outlives this thread.
  void post(Message& message) noexcept;

 private:
  class ShutDown final : public Message {
   public:
    void deliver() noexcept override { stream->shut_down(); }
    Stream* stream = nullptr;
    bool posted = false;
  };

  void run(FileDescriptor socket);
  void publish(Loop* loop, Stream* stream);

  LaneThreadOptions options_;
  Body body_;
  Ended ended_;
  std::mutex control_;    // guards the three below; never taken on the data path
  Loop* loop_ = nullptr;  // while the body runs
  ShutDown message_;
  bool shut_down_wanted_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nbdring
