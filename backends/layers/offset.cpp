#include "backends/layers/offset.hpp"

#include <optional>

namespace nbdring {
namespace {

class OffsetLane final : public LayerLane {
 public:
  OffsetLane(std::unique_ptr<BackendLane> under, const Window& window)
      : LayerLane(std::move(under)), window_(window) {}

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return below().read(moved(offset, buffer.size()), buffer);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return below().write(moved(offset, buffer.size()), buffer, fua);
  }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return below().trim(moved(offset, length), length, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return below().write_zeroes(moved(offset, length), length, mode);
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return below().extents(moved(offset, length), length, list);
  }

 private:
  // What is outside belongs to somebody else.
  std::uint64_t moved(std::uint64_t offset, std::uint64_t length) const {
    ENSURE(length <= window_.size && offset <= window_.size - length);
    return window_.offset + offset;
  }

  const Window window_;
};

class OffsetBackend final : public LayerBackend {
 public:
  OffsetBackend(std::unique_ptr<Backend> under, const Window& window)
      : LayerBackend(std::move(under)), window_(window) {
    ENSURE(window.offset <= about().size && window.size <= about().size - window.offset);
    offer().size = window.size;
  }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<OffsetLane>(below().open_lane(loop), window_);
  }

 private:
  const Window window_;
};

}  // namespace

std::unique_ptr<Backend> windowed(std::unique_ptr<Backend> below, const Window& window,
                                  const LayerArgument& argument) {
  const std::uint32_t block = below->about().block_size.minimum;
  if (window.offset % block != 0 || window.size % block != 0) {
    argument.fail(FailureKind::usage,
                  std::to_string(window.size) + " bytes at " + std::to_string(window.offset) +
                      " are not whole blocks of " + std::to_string(block) +
                      " bytes, which it is made of below; say --layer blocksize=1 behind it");
  }
  return std::make_unique<OffsetBackend>(std::move(below), window);
}

std::unique_ptr<Backend> make_offset_layer(std::unique_ptr<Backend> below,
                                           const LayerArgument& argument, Log&) {
  const auto parts = argument.parts();
  const bool has_size = parts.size() == 2 && parts[1].key == "size";
  if (parts.empty() || !parts[0].key.empty() || (parts.size() > 1 && !has_size)) {
    argument.refuse("it does not say where");
  }
  const std::uint64_t whole = below->about().size;
  Window window;
  window.offset = argument.bytes(parts[0].value);
  if (window.offset > whole) {
    argument.fail(FailureKind::usage, "there are only " + std::to_string(whole) +
                                          " bytes below; give a smaller offset");
  }
  window.size = has_size ? argument.bytes(parts[1].value) : whole - window.offset;
  if (window.size == 0) argument.fail(FailureKind::usage, "nothing is left; give a smaller offset");
  if (window.size > whole - window.offset) {
    argument.fail(FailureKind::usage, "there are only " + std::to_string(whole - window.offset) +
                                          " bytes from there on; give a smaller size");
  }
  return windowed(std::move(below), window, argument);
}

}  // namespace nbdring
