#pragma once
// What stands behind a device's connections to the driver at this moment: a resize puts another
// backend and other lanes there, on the same connections. Whoever asks, asks anew each time.
//
// On the session's loop.

#include <cstdint>
#include <optional>

#include "client/engine/backend.hpp"
#include "client/engine/device.hpp"
#include "client/runtime/error.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

class ServedDevice {
 public:
  virtual Backend& backend() = 0;
  virtual Device& device() = 0;

  /// Stops the lanes at a request boundary, opens the backend anew and serves the same connections
  /// with it; returns its size in bytes. Failure: what served serves on, unless lost().
  virtual std::uint64_t swap_backend(Deadline deadline) = 0;
  /// Why a swap found no backend any more: nothing is behind the device, and this process cannot
  /// serve it. Nothing: it is served.
  virtual const std::optional<Failure>& lost() const = 0;
  /// Makes what holds the bytes larger, before a swap. Failure where it cannot be made so.
  virtual void grow_backend(std::uint64_t size) = 0;

 protected:
  ~ServedDevice() = default;
};

}  // namespace nbdring
