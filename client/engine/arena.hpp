#pragma once
// A lane's payload memory: one mapping, cut into page-aligned buffers, one per request, lowest
// address first.
//
// The first `resident` bytes are touched at the start (if so asked) and stay: the ordinary requests
// in flight live there, and a device that writes out its own machine's dirty pages never needs a
// page for that. A request larger than `resident` gets the mapping alone (it waits until nothing
// else is in flight) and what it touched above is given back afterwards. Lowest address first means
// that a lane with little in flight works in memory that is still in the cache.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nbdring {

class Arena {
 public:
  static constexpr std::size_t unit = 4096;  // bytes; alignment and granularity of buffers

  /// Throws Failure when the memory cannot be had. Sizes in bytes, multiples of the unit, resident
  /// <= largest.
  /// populate: touch the resident part now, rather than as it is first used.
  Arena(std::size_t resident, std::size_t largest, bool populate = true);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// A buffer of `length` bytes (1 to largest), or an empty span while there is no room.
  std::span<std::byte> allocate(std::size_t length) noexcept;
  void release(std::span<std::byte> buffer) noexcept;

  std::size_t largest() const { return largest_; }
  std::size_t used_units() const { return used_; }

 private:
  std::size_t find_run(std::size_t units) const noexcept;

  std::size_t resident_;
  std::size_t largest_;
  std::byte* memory_;
  std::vector<std::uint64_t> taken_;  // a bit per unit of the resident part
  std::size_t used_ = 0;              // units
  bool whole_taken_ = false;          // one large request has everything
};

}  // namespace nbdring
