#pragma once
// Reads what is below a layer while the layer is being made: through a lane of its own, on a loop
// of its own, which end with it. One thread.

#include <optional>
#include <span>
#include <vector>

#include "backends/layers/layers_argument.hpp"
#include "client/runtime/loop.hpp"

namespace nbdring {

class LayerProbe {
 public:
  /// At most so many bytes by one read().
  static constexpr std::size_t largest_read = 1024 * 1024;

  LayerProbe(Backend& below, const LayerArgument& argument);
  ~LayerProbe();
  LayerProbe(const LayerProbe&) = delete;
  LayerProbe& operator=(const LayerProbe&) = delete;

  std::uint64_t size() const { return size_; }
  const LayerArgument& argument() const { return argument_; }
  /// The range lies within size(). Valid until the next read. Throws Failure (unreachable).
  std::span<const std::byte> read(std::uint64_t offset, std::size_t length);

 private:
  static Task<void> keep(Loop& loop, Task<Status>& operation, Status& status);

  Backend& below_;
  const LayerArgument& argument_;
  const std::uint64_t size_;
  Loop loop_;
  std::unique_ptr<BackendLane> lane_;
  std::vector<std::byte> memory_;
  std::span<std::byte> buffer_;  // of memory_, aligned as O_DIRECT wants it
  std::uint64_t begin_ = 0;      // what of the backend the buffer holds
  std::uint64_t end_ = 0;
};

/// A number of `Bytes` bytes, the lowest first, as partition tables have them.
template <std::size_t Bytes>
std::uint64_t little_endian(std::span<const std::byte> bytes, std::size_t at) {
  static_assert(Bytes <= 8);
  std::uint64_t number = 0;
  for (std::size_t i = Bytes; i > 0; --i) {
    number = number << 8 | std::to_integer<std::uint64_t>(bytes[at + i - 1]);
  }
  return number;
}

}  // namespace nbdring
