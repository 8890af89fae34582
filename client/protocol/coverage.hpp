#pragma once
// Which bytes of a READ have arrived: each must come exactly once, whatever the chunks' order.
//
// Chunks nearly always come in order, so that one range grows. Others are kept sorted, in a table
// without memory of its own; a server that leaves more gaps than it has room for is not served.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace nbdring {

class Coverage {
 public:
  static constexpr std::size_t ranges_max = 32;

  enum class Added { fresh, overlaps, too_scattered };
  /// From and to (behind the last) count from the request's first byte; from < to.
  Added add(std::uint32_t from, std::uint32_t to) noexcept {
    std::size_t at = count_;
    while (at > 0 && ranges_[at - 1].from >= to) --at;
    // Everything from `at` on lies behind; what stands before it must end before `from`.
    if (at > 0 && ranges_[at - 1].to > from) return Added::overlaps;
    const bool joins_before = at > 0 && ranges_[at - 1].to == from;
    const bool joins_behind = at < count_ && ranges_[at].from == to;
    if (joins_before && joins_behind) {
      ranges_[at - 1].to = ranges_[at].to;
      std::copy(ranges_.begin() + at + 1, ranges_.begin() + count_, ranges_.begin() + at);
      --count_;
    } else if (joins_before) {
      ranges_[at - 1].to = to;
    } else if (joins_behind) {
      ranges_[at].from = from;
    } else {
      if (count_ == ranges_max) return Added::too_scattered;
      std::copy_backward(ranges_.begin() + at, ranges_.begin() + count_,
                         ranges_.begin() + count_ + 1);
      ranges_[at] = {from, to};
      ++count_;
    }
    return Added::fresh;
  }

  bool is_whole(std::uint64_t length) const noexcept {
    return count_ == 1 && ranges_[0].from == 0 && ranges_[0].to == length;
  }
  void clear() noexcept { count_ = 0; }

 private:
  struct Range {
    std::uint32_t from, to;
  };
  std::array<Range, ranges_max> ranges_;
  std::size_t count_ = 0;
};

}  // namespace nbdring
