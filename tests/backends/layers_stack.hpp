#pragma once
// Layers over memory, made from what a user writes behind --layer.

#include <memory>
#include <string>
#include <vector>

#include "backends/layers/layer.hpp"
#include "backends/memory.hpp"
#include "tests/support/backend_user.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/pattern.hpp"

namespace nbdring {

inline std::unique_ptr<Backend> over(std::unique_ptr<Backend> below,
                                     const std::vector<std::string>& layers, Log& log) {
  return add_layers(std::move(below), parse_layers(layers), log);
}

/// Memory filled with pattern 1, and layers in front of it.
class LayerStack {
 public:
  LayerStack(std::uint64_t size, const std::vector<std::string>& layers) {
    auto memory = std::make_unique<MemoryBackend>(size);
    bytes_ = memory->bytes();
    fill_pattern(bytes_, 1, 0);
    backend_ = over(std::move(memory), layers, log_.log());
    user_ = std::make_unique<BackendUser>(*backend_);
  }

  Backend& backend() { return *backend_; }
  const Export& about() const { return backend_->about(); }
  BackendUser* operator->() { return user_.get(); }
  std::span<std::byte> bytes() { return bytes_; }
  std::string log() const { return log_.text(); }

 private:
  CapturedLog log_;
  std::span<std::byte> bytes_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<BackendUser> user_;
};

/// What the user is told, or "" where the layers are taken.
inline std::string refusal(std::uint64_t size, const std::vector<std::string>& layers) {
  try {
    const LayerStack stack(size, layers);
  } catch (const Failure& failure) {
    return failure.kind() == FailureKind::usage ? failure.what()
                                                : std::string("not usage: ") + failure.what();
  }
  return "";
}

/// A backend in memory whose blocks are large and which aborts where a request is not of whole
/// ones.
class StrictBackend final : public Backend {
 public:
  StrictBackend(std::uint64_t size, std::uint32_t block) : memory_(size), about_(memory_.about()) {
    about_.block_size.minimum = block;
    about_.block_size.preferred = std::max<std::uint32_t>(block, 4096);
    fill_pattern(memory_.bytes(), 1, 0);
  }
  const Export& about() const override { return about_; }
  std::unique_ptr<BackendLane> open_lane(Loop& loop) override {
    return std::make_unique<StrictLane>(memory_.open_lane(loop), about_.block_size.minimum);
  }
  std::span<std::byte> bytes() { return memory_.bytes(); }

 private:
  class StrictLane final : public LayerLane {
   public:
    StrictLane(std::unique_ptr<BackendLane> under, std::uint32_t block)
        : LayerLane(std::move(under)), block_(block) {}
    Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
      check(offset, buffer.size());
      return below().read(offset, buffer);
    }
    Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
      check(offset, buffer.size());
      return below().write(offset, buffer, fua);
    }
    Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
      check(offset, length);
      return below().trim(offset, length, fua);
    }
    Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
      check(offset, length);
      return below().write_zeroes(offset, length, mode);
    }
    Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
      check(offset, length);
      return below().extents(offset, length, list);
    }

   private:
    void check(std::uint64_t offset, std::uint64_t length) const {
      ENSURE(length > 0 && offset % block_ == 0 && length % block_ == 0);
    }
    const std::uint32_t block_;
  };

  MemoryBackend memory_;
  Export about_;
};

}  // namespace nbdring
