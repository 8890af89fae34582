#pragma once
// Counts the changes of an export by region, so that who keeps a copy of a part can tell whether
// it is still good. Any thread; a fixed table that the regions share, so a change elsewhere may
// spoil a copy, and never the other way round.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nbdring {

class ChangeStamps {
 public:
  /// Before a change is acknowledged.
  void changed(std::uint64_t offset, std::uint64_t length) noexcept {
    const std::uint64_t first = offset / region_bytes;
    const std::uint64_t last = (offset + length - 1) / region_bytes;
    const std::uint64_t count = std::min<std::uint64_t>(last - first + 1, stamps_.size());
    for (std::uint64_t i = 0; i < count; ++i) ++stamps_[(first + i) % stamps_.size()];
  }

  /// Stamps only grow: as long as the sum is the same, nothing changed.
  std::uint64_t sum(std::uint64_t offset, std::uint64_t length) const noexcept {
    std::uint64_t sum = 0;
    const std::uint64_t last = (offset + length - 1) / region_bytes;
    for (std::uint64_t region = offset / region_bytes; region <= last; ++region) {
      sum += stamps_[region % stamps_.size()];
    }
    return sum;
  }

 private:
  static constexpr std::uint64_t region_bytes = 1024 * 1024;
  std::array<std::atomic<std::uint64_t>, 1024> stamps_{};
};

}  // namespace nbdring
