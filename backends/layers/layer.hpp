#pragma once
// What can stand in front of a backend: a layer is a Backend over a Backend, stacked to any depth
// by `--layer NAME[=ARG]`, the outermost first.
//
// A layer changes what it is there for and passes on the rest: LayerBackend and LayerLane do that.
// As any backend it is constant after construction; what its lanes share is guarded for threads.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/kept_memory.hpp"
#include "client/engine/backend.hpp"
#include "client/runtime/log.hpp"

namespace nbdring {

class LayerBackend : public Backend {
 public:
  explicit LayerBackend(std::unique_ptr<Backend> below)
      : below_(std::move(below)), about_(below_->about()) {}

  const Export& about() const override { return about_; }
  void abandon() noexcept override { below_->abandon(); }
  BackendHealth health() const override { return below_->health(); }

 protected:
  Backend& below() { return *below_; }
  /// Of the layer's own making, before the constructor ends.
  Export& offer() { return about_; }

 private:
  std::unique_ptr<Backend> below_;
  Export about_;
};

class LayerLane : public BackendLane {
 public:
  explicit LayerLane(std::unique_ptr<BackendLane> below) : below_(std::move(below)) {}

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return below_->read(offset, buffer);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return below_->write(offset, buffer, fua);
  }
  Task<Status> flush() override { return below_->flush(); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return below_->trim(offset, length, fua);
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return below_->write_zeroes(offset, length, mode);
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return below_->extents(offset, length, list);
  }
  Task<Status> close() override { return below_->close(); }
  void give_up() noexcept override { below_->give_up(); }
  FramePool& frames() override { return below_->frames(); }

 protected:
  BackendLane& below() { return *below_; }

 private:
  std::unique_ptr<BackendLane> below_;
};

/// One `--layer`, taken apart.
struct LayerSpec {
  std::string name;
  std::string argument;  // empty: none

  friend bool operator==(const LayerSpec&, const LayerSpec&) = default;
};

/// What the layers of a device are told beyond their arguments: see OpenOptions.
struct LayerOptions {
  Past past;
  std::chrono::milliseconds lock_wait{2000};
};

/// "NAME" or "NAME=ARG". Throws Failure (usage) for a name that no layer has.
LayerSpec parse_layer(std::string_view text);
std::vector<LayerSpec> parse_layers(const std::vector<std::string>& texts);

/// layers: outermost first. Throws Failure (usage) that says which layer, which value and what
/// would be right.
std::unique_ptr<Backend> add_layers(std::unique_ptr<Backend> below,
                                    const std::vector<LayerSpec>& layers, Log& log,
                                    const LayerOptions& options = {});

}  // namespace nbdring
