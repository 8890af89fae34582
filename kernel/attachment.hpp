#pragma once
// A device of the driver, attached: CONNECT at the start, DISCONNECT at the end, and in between
// nothing but a new connection where one was lost, or another size: the driver talks to the lanes
// over the socketpairs. An engine that takes over from another adopts the device instead of
// connecting it. See ARCHITECTURE.md, "What the driver does", for why each step is as it is.
//
// Used by the front end's thread, never by a lane's: the driver's answers may need the lanes to
// serve. Every netlink call runs on a thread of its own with a deadline (a hung one holds the
// kernel's genl_mutex). Failures are Failure exceptions.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/protocol/export.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

struct AttachOptions {
  std::optional<std::uint32_t> index;         // /dev/nbdN; none: a free one
  unsigned connections = 2;                   // 1 to 16
  std::uint32_t block_size = 512;             // bytes: power of two, 512 to the page size
  std::chrono::seconds timeout{30};           // of a request, in the driver; never 0
  std::chrono::seconds recovery_window{300};  // how long I/O waits when every connection is dead
  std::string identifier;                     // shown in /sys/block/nbdN/backend
  std::uint32_t request_size_max = 1
                                   << 20;  // bytes of one READ or WRITE: what the lanes' slots hold
};

/// The kernel left a connection without its receiver (see receivers.hpp); nothing is attached. A
/// new Attachment with new lanes is likely to succeed at once: connect() has made the kernel add
/// the workers that were missing.
class ConnectAgain : public Failure {
 public:
  using Failure::Failure;
};

class Attachment {
 public:
  /// Loads the module where it is missing and makes the socketpairs; nothing is attached yet. The
  /// lanes' ends are taken with take_lane_sockets() and must be served before connect(). The device
  /// has whole blocks only: what follows the last whole block of the export (5000 bytes: 392 of
  /// them) cannot be reached through it, and the log says so.
  /// `netlink`: a bound socket for generic netlink (open_netlink_socket()) that outlives this
  /// process elsewhere; none: one of its own.
  Attachment(const Export& about, const AttachOptions& options, Log& log,
             FileDescriptor netlink = FileDescriptor());
  ~Attachment();  // a device that is still attached is disconnected, within its deadline
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  std::vector<FileDescriptor> take_lane_sockets();

  /// Instead of take_lane_sockets(): connections, in transmission, to the server that the driver is
  /// to talk to itself. The export has CAN_MULTI_CONN where there are several.
  void give_sockets(std::vector<FileDescriptor> sockets);

  /// CONNECT (retrying EBUSY while udev probes), queue settings, and the wait until the device can
  /// be used: size set, first open done, partitions scanned. Throws after undoing what it did.
  void connect(std::chrono::milliseconds deadline);

  /// Instead of connect(): the driver holds the device with our identifier, and its connections are
  /// dead or about to be, because their engine is. Fills every slot with the lanes' connections,
  /// one after the other, and sees each received; the queue's settings stay as they are. A
  /// connection that the driver did not take (its slot was not dead) is at its end at once, and the
  /// lane lost: see refill(). Failure: not_found where the driver does not hold the device or under
  /// another identifier, failed where no connection was taken by the deadline. The device then
  /// stays as it was.
  void adopt(std::uint32_t index, bool fresh, std::chrono::milliseconds deadline);

  /// Instead of connect(): the connections are alive, were served by another process and are by
  /// ours from now on. Touches nothing; the socketpairs made for this object are dropped.
  void take_over(std::uint32_t index, bool fresh);

  /// One new connection for the driver where it has a dead slot, and the lane's end of it: to be
  /// served at once, the driver sends already. Nothing where it cannot be done just now: no slot is
  /// dead yet, what served the dead one has not ended yet, the kernel did not receive from the new
  /// one. Failure where the driver refuses: the device is not ours any more.
  /// `dead` counts the connections that are known to be dead, whenever it is asked.
  std::optional<FileDescriptor> refill(const std::function<unsigned()>& dead,
                                       std::chrono::milliseconds deadline);

  /// The same with a connection to the server. True: the driver sends on it already. Whoever called
  /// keeps a descriptor of his own; the connection is shut down where the driver did not take it.
  bool refill_with(FileDescriptor socket, const std::function<unsigned()>& dead,
                   std::chrono::milliseconds deadline);

  /// The driver holds the device still, with our identifier.
  bool is_held() const;

  /// Another size, in whole blocks (a rest is not shown). Only while every connection is alive and
  /// its lane serves: the driver waits for what is in flight. Failure where a connection is dead,
  /// the driver refuses or does not end.
  void set_size(std::uint64_t bytes, std::chrono::milliseconds deadline);

  /// The device stays attached when this object goes: another process has it.
  void release() noexcept;

  /// The device did not exist before it was attached, and is to vanish when it is detached.
  bool is_fresh() const;

  std::uint32_t index() const;
  std::string path() const;  // "/dev/nbdN"

  /// DISCONNECT and the wait for its end; always returns within the deadline plus a second. False:
  /// the driver still holds the device (somebody has it open), or it does not answer, because a
  /// lane does not read; the log says which. When a lane's backend hangs, shut the lanes down and
  /// call again: that frees the driver, and generic netlink with it.
  bool disconnect(std::chrono::milliseconds deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdring
