#pragma once
// null:SIZE - reads as zeros, forgets what is written. Measures what the engine costs without any
// storage behind it.

#include <cstdint>

#include "client/engine/backend.hpp"

namespace nbdring {

class NullBackend final : public Backend {
 public:
  explicit NullBackend(std::uint64_t size, bool read_only = false);

  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override;

 private:
  Export about_;
};

}  // namespace nbdring
