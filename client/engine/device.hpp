#pragma once
// A device: several lanes over one backend, one thread each. The front end (kernel/attachment,
// `nbdring serve`) brings the connected sockets; the device serves them until the client
// disconnects or stop() is called.
//
// Owned and used by one thread (the front end's); the lanes' threads are its own. A lane that
// cannot start throws out of start(), after those that could have been stopped.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
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
};

class Device {
 public:
  Device(Backend& backend, const DeviceOptions& options, Log& log);
  ~Device();  // stops and joins; abandons a backend that is away (Backend::abandon)
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Starts a lane on each socket; returns when every lane serves.
  void start(std::vector<FileDescriptor> sockets);

  /// An eventfd that becomes readable when the last lane has ended.
  int ended_fd() const { return ended_.get(); }
  bool has_ended() const;

  /// Shuts every lane's socket down. In-flight requests are finished; then ended_fd() becomes
  /// readable.
  void stop() noexcept;

  /// One per lane, in the order of the sockets. Valid as long as the device.
  const LaneStats& stats(std::size_t lane) const;
  std::size_t lanes() const { return lanes_.size(); }

 private:
  struct DeviceLane;

  void start_lanes(std::vector<FileDescriptor> sockets);
  void lane_ended() noexcept;

  Backend& backend_;
  DeviceOptions options_;
  Log& log_;
  FileDescriptor ended_;
  std::atomic<std::size_t> serving_{0};
  std::vector<std::unique_ptr<DeviceLane>> lanes_;
};

}  // namespace nbdring
