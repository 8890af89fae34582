#pragma once
// Passes on to a backend that is the test's own: a layer owns what is below it, and the test wants
// to look at that afterwards.

#include <memory>

#include "client/engine/backend.hpp"

namespace nbdring {

class BorrowedBackend final : public Backend {
 public:
  explicit BorrowedBackend(Backend& inner) : inner_(inner) {}
  const Export& about() const override { return inner_.about(); }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override { return inner_.open_lane(loop); }

 private:
  Backend& inner_;
};

}  // namespace nbdring
