#include "tests/support/gated_backend.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

namespace nbdring {

class GatedLane final : public BackendLane {
 public:
  GatedLane(Loop& loop, GatedBackend& backend)
      : loop_(loop), backend_(backend), inner_(backend.inner_.open_lane(loop)) {}

  FramePool& frames() override { return loop_.frames(); }

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    co_await pass();
    co_return co_await inner_->read(offset, buffer);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    co_await pass();
    co_return co_await inner_->write(offset, buffer, fua);
  }
  Task<Status> flush() override {
    co_await pass();
    co_return co_await inner_->flush();
  }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    co_await pass();
    co_return co_await inner_->trim(offset, length, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    co_await pass();
    co_return co_await inner_->write_zeroes(offset, length, mode);
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    co_await pass();
    co_return co_await inner_->extents(offset, length, list);
  }

 private:
  Operation pass() {
    ++backend_.arrived_;
    return loop_.readable(backend_.gate_.get());
  }

  Loop& loop_;
  GatedBackend& backend_;
  std::unique_ptr<BackendLane> inner_;
};

GatedBackend::GatedBackend(Backend& inner)
    : inner_(inner), gate_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ENSURE(gate_.is_open());
}

std::unique_ptr<BackendLane> GatedBackend::open_lane(Loop& loop) {
  return std::make_unique<GatedLane>(loop, *this);
}

void GatedBackend::open_gate() {
  constexpr std::uint64_t one = 1;
  ENSURE(::write(gate_.get(), &one, sizeof one) == sizeof one);
}

void GatedBackend::close_gate() {
  std::uint64_t count = 0;
  ENSURE(::read(gate_.get(), &count, sizeof count) == sizeof count);
}

}  // namespace nbdring
