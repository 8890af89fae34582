#include "backends/layers/readonly.hpp"

#include <cerrno>

namespace nbdring {
namespace {

constexpr std::uint16_t flags_of_writing =
    nbd::flag_send_trim | nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero;

/// Refuses what the flags say is refused: the engine implements every command whatever it
/// advertised, and the backend below would do it.
class ReadOnlyLane final : public LayerLane {
 public:
  using LayerLane::LayerLane;

  Task<Status> write(std::uint64_t, std::span<const std::byte>, bool) override { return refuse(); }
  Task<Status> trim(std::uint64_t, std::uint64_t, bool) override { return refuse(); }
  Task<Status> write_zeroes(std::uint64_t, std::uint64_t, ZeroMode) override { return refuse(); }

 private:
  Task<Status> refuse() { co_return Status::from_errno(EPERM); }
};

class ReadOnlyBackend final : public LayerBackend {
 public:
  explicit ReadOnlyBackend(std::unique_ptr<Backend> under) : LayerBackend(std::move(under)) {
    auto& flags = offer().transmission_flags;
    flags = static_cast<std::uint16_t>((flags & ~flags_of_writing) | nbd::flag_read_only);
  }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<ReadOnlyLane>(below().open_lane(loop));
  }
};

}  // namespace

std::unique_ptr<Backend> read_only(std::unique_ptr<Backend> below) {
  return std::make_unique<ReadOnlyBackend>(std::move(below));
}

std::unique_ptr<Backend> make_readonly_layer(std::unique_ptr<Backend> below,
                                             const LayerArgument& argument, Log&) {
  argument.expect_none();
  return read_only(std::move(below));
}

}  // namespace nbdring
