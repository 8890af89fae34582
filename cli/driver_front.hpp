#pragma once
// A backend, the lanes over it, and the driver in front of them: how they are put together, by
// attaching, by adopting a device whose engine has died, or by taking one over; and how the
// backend is exchanged behind connections that stay.
//
// On its loop's thread, which it blocks as its parts do. Each step undoes itself when a later one
// fails.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cli/served_device.hpp"
#include "cli/state.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/device.hpp"
#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "kernel/attachment.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

/// Where a device's backend comes from. Throws Failure.
struct BackendSource {
  /// after_crash: see OpenOptions.
  std::function<std::unique_ptr<Backend>(bool after_crash)> open;
  /// Makes what holds the bytes at least so large.
  std::function<void(std::uint64_t size)> grow;
};

class DriverFront final : public ServedDevice {
 public:
  /// backend: open already; without a source it cannot be exchanged. The loop is where
  /// attention_fd() is waited for.
  DriverFront(Loop& loop, Backend& backend, const AttachOptions& options, Log& log);
  DriverFront(Loop& loop, std::unique_ptr<Backend> backend, BackendSource source,
              const AttachOptions& options, FileDescriptor netlink, Log& log);
  ~DriverFront();

  /// A new device.
  void connect();
  /// The driver holds the device, its engine is dead.
  void adopt(const DeviceRecord& former);
  /// Another process serves the device, paused, and gives us its connections. `begins` is called
  /// right before the first byte is read from them.
  void take_over(const DeviceRecord& former, std::vector<FileDescriptor> sockets,
                 const std::function<void()>& begins);

  Backend& backend() override { return *backend_; }
  Device& device() override { return *lanes_; }
  Attachment& attachment() { return *attachment_; }

  std::uint64_t swap_backend(Deadline deadline) override;
  const std::optional<Failure>& lost() const override { return lost_; }
  void grow_backend(std::uint64_t size) override;

  /// The connections, at a request boundary, for another process; the backend is closed. Failure:
  /// nothing has happened. What follows is go_on(), or the end of this process.
  std::vector<FileDescriptor> hand_over(Deadline deadline);
  /// After hand_over(): here again, with the backend opened anew. Failure where it cannot be.
  void go_on(std::vector<FileDescriptor> sockets);

 private:
  void make_attachment();
  void start_lanes(std::vector<FileDescriptor> sockets);
  void put_away_lanes();

  Loop& loop_;
  AttachOptions options_;
  Log& log_;
  FileDescriptor netlink_;
  BackendSource source_;
  // They end in the reverse order: the driver lets go while the lanes still serve.
  std::unique_ptr<Backend> owned_;
  Backend* backend_;
  std::unique_ptr<Device> lanes_;
  std::unique_ptr<Attachment> attachment_;
  std::optional<Failure> lost_;
};

}  // namespace nbdring
