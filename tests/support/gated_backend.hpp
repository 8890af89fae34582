#pragma once
// A backend in front of another whose operations wait while the gate is closed. The gate is opened
// and closed by the test's thread; the lanes wait for it in their own loops.

#include <atomic>
#include <cstddef>
#include <memory>

#include "client/engine/backend.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

class GatedBackend final : public Backend {
 public:
  explicit GatedBackend(Backend& inner);

  const Export& about() const override { return inner_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

  void open_gate();
  void close_gate();
  /// Operations that have arrived at the gate since the start.
  std::size_t arrived() const { return arrived_; }

 private:
  friend class GatedLane;

  Backend& inner_;
  FileDescriptor gate_;  // an eventfd: readable while open
  std::atomic<std::size_t> arrived_{0};
};

}  // namespace nbdring
