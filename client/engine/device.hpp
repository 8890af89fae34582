#pragma once
// A device: several lanes over one backend, one thread each. The front end (kernel/attachment)
// brings the connected sockets; the device serves them until the driver disconnects or stop() is
// called.
//
// A connection may be lost: the stream ends and nobody had asked for that. (The driver shoots a
// connection on which a request was older than its timer, and sends that request again on another.)
// The lane then takes a new connection, replace(), while what had begun on the former drains beside
// it, behind the Fence (client/engine/fence.hpp). All lanes can be stopped at a request boundary,
// pause(), and go on, resume(), or leave their connections to another Device, take_sockets(): the
// driver notices nothing.
//
// Owned and used by one thread (the front end's); the lanes' threads are its own. A lane that
// cannot start throws out of start(), after those that could have been stopped.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/engine/backend.hpp"
#include "client/engine/lane.hpp"
#include "client/engine/stats.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct DeviceOptions {
  LaneOptions lane;
  /// Marks each lane's thread as one that serves its own machine's memory reclaim
  /// (PR_SET_IO_FLUSHER, Linux 5.6; needs CAP_SYS_RESOURCE): set for /dev/nbdN, not for serve.
  bool io_flusher = false;
  /// From which age on a request may soon be sent again on another connection: half the driver's
  /// timer. 0: it never is while its connection lives. See Fence.
  Clock::duration suspect_after{0};
};

class Device {
 public:
  /// Former connections of one lane that may drain at once; each has a thread and a lane's memory.
  static constexpr std::size_t draining_max = 4;

  Device(Backend& backend, const DeviceOptions& options, Log& log);
  ~Device();  // stops and joins; abandons a backend that is away (Backend::abandon)
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Starts a lane on each socket; returns when every lane serves. A socket that is not open: that
  /// lane is lost from the start.
  void start(std::vector<FileDescriptor> sockets);

  /// An eventfd, readable when a lane was lost, when what it had begun has ended, and when the
  /// device has ended: read it to lower it, then look.
  int attention_fd() const { return attention_.get(); }
  /// The driver has disconnected (or stop() was called), and no lane runs any more.
  bool has_ended() const;

  /// Lanes without a connection that may take a new one now.
  std::vector<std::size_t> lost() const;
  /// All that have none, also those that may not take one yet because too many of theirs drain.
  std::size_t without_connection() const;
  /// A lane that lost() names serves this connection from now on; it is not waited for. Where it
  /// cannot start, the log says why, the socket is closed, and the lane is lost again.
  void replace(std::size_t lane, FileDescriptor socket);
  /// How old the oldest unanswered request was when the lane last lost its connection; 0 where
  /// there was none. Any thread.
  std::chrono::milliseconds age_when_lost(std::size_t lane) const;

  /// Stops every lane at a request boundary: nothing is in flight, every reply is out, no request
  /// is half received. False: one could not be stopped before the deadline, is lost, drains, or the
  /// driver ends the device; then the lanes go on as if never asked. Blocks until then.
  bool pause(Clock::time_point deadline);
  /// After pause(): the lanes go on.
  void resume();
  /// After pause(): the lanes end, and their backend lanes are closed, without a word to the
  /// driver. Their connections, in the lanes' order, are the caller's. The device is over then.
  std::vector<FileDescriptor> take_sockets();

  /// Shuts every lane's socket down. In-flight requests are finished; then attention_fd() becomes
  /// readable.
  void stop() noexcept;

  /// One per lane, in the order of the sockets; goes on when the lane has a new connection. Valid
  /// as long as the device.
  const LaneStats& stats(std::size_t lane) const;
  std::size_t lanes() const { return lanes_.size(); }

  // Counts for the status, since the start. Any thread.
  std::uint64_t lost_connections() const { return lost_connections_; }
  std::uint64_t replaced_connections() const { return replaced_connections_; }
  /// Changes that waited for what a lost connection had begun.
  std::uint64_t fenced_changes() const { return fence_ ? fence_->waits() : 0; }

 private:
  class Connection;
  struct DeviceLane;

  void start_lanes(std::vector<FileDescriptor> sockets);
  void connect(DeviceLane& lane, FileDescriptor socket, bool is_replacement);
  void raise_attention() noexcept;
  void await_end() noexcept;

  // With told_ held.
  std::size_t draining(const DeviceLane& lane) const;
  bool is_over() const;
  bool is_lost(const DeviceLane& lane) const;
  /// Waits until every lane serves, or is parked, and nothing drains. False at the deadline, or as
  /// soon as a lane is lost or the device ends.
  bool await_lanes(std::unique_lock<std::mutex>& lock, bool parked, Clock::time_point deadline);

  Backend& backend_;
  DeviceOptions options_;
  Log& log_;
  FileDescriptor attention_;
  std::atomic<std::uint64_t> lost_connections_{0};
  std::atomic<std::uint64_t> replaced_connections_{0};
  std::unique_ptr<Fence> fence_;     // from start() on
  mutable std::mutex told_;          // guards what the lanes' threads tell: Connection::state_
  std::condition_variable changed_;  // of that
  bool ending_ = true;               // told_: by DISC, stop(), take_sockets(); before start()
  std::size_t running_ = 0;          // told_: connections whose threads are not at their end
  std::vector<std::unique_ptr<DeviceLane>> lanes_;
};

}  // namespace nbdring
