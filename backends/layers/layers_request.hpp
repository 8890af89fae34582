#pragma once
// For layers that treat all requests alike: each operation comes as a value. And how they wait.

#include <atomic>
#include <chrono>

#include "backends/layers/layer.hpp"
#include "client/engine/backend_request.hpp"

namespace nbdring {

class RequestLane : public LayerLane {
 public:
  using LayerLane::LayerLane;

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return handle(BackendRequest::read(offset, buffer));
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return handle(BackendRequest::write(offset, buffer, fua));
  }
  Task<Status> flush() override { return handle(BackendRequest::flush()); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return handle(BackendRequest::trim(offset, length, fua));
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return handle(BackendRequest::write_zeroes(offset, length, mode));
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return handle(BackendRequest::extents_of(offset, length, list));
  }

  void give_up() noexcept override {
    is_given_up_ = true;
    LayerLane::give_up();
  }

 protected:
  virtual Task<Status> handle(BackendRequest request) = 0;
  const bool& is_given_up() const { return is_given_up_; }

 private:
  bool is_given_up_ = false;
};

/// "read", "write", "flush", "trim", "zero", "extents": as arguments and the log's lines name them.
std::string_view name_of(BackendRequest::Kind kind) noexcept;
constexpr std::size_t request_kinds = 6;

/// What requests of all lanes wait for, until it is abandoned or their lane is given up: they
/// notice it within a tenth of a second.
class Patience {
 public:
  void abandon() noexcept { is_abandoned_ = true; }
  /// EIO: abandoned, now or earlier. ECANCELED: given up.
  Task<Status> last_until(Loop& loop, Clock::time_point when, const bool& is_given_up) const;

 private:
  std::atomic<bool> is_abandoned_{false};
};

}  // namespace nbdring
