#pragma once
// What a session puts in front of its peer: a device, or an NBD server on a Unix socket. On the
// session's loop and thread, which it may block as AttachedDevice does.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/device_status.hpp"
#include "cli/gateway_settings.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

/// What a front asks of its session, on the loop.
class FrontOwner {
 public:
  /// Somebody on this machine wants it to end. How long that may take.
  virtual std::chrono::milliseconds detach_asked() = 0;
  virtual void complete(DeviceStatus& status) const = 0;

 protected:
  ~FrontOwner() = default;
};

class SessionFront {
 public:
  virtual ~SessionFront() = default;

  /// Serves; ends after end(), or by itself when the driver has ended the device.
  virtual Task<void> run() = 0;
  /// Lets go, also where somebody uses it. Once at most; not where run() has ended.
  virtual void end() = 0;
  /// In words, as users_of() has them.
  virtual std::vector<std::string> users() const = 0;

  bool is_device() const { return is_device_; }
  const std::string& path() const { return path_; }  // "/dev/nbd0", or the socket's
  std::uint64_t size() const { return size_; }

 protected:
  SessionFront(bool is_device, std::uint64_t size) : is_device_(is_device), size_(size) {}
  std::string path_;

 private:
  bool is_device_;
  std::uint64_t size_;
};

/// kind: "gateway" or "proxy", for the device's identity. All outlive it. Throws Failure: busy
/// names who has the device.
std::unique_ptr<SessionFront> make_session_front(Loop& loop, Backend& backend,
                                                 const GatewayConfiguration& configuration,
                                                 const std::string& kind, FrontOwner& owner,
                                                 Log& log);

/// The lanes of a configuration's device.
unsigned lanes_of(const GatewayConfiguration& configuration);

}  // namespace nbdring
