#include "backends/layers/layers_request.hpp"

#include <algorithm>

namespace nbdring {
namespace {

constexpr Clock::duration longest_step = std::chrono::milliseconds(100);

}  // namespace

std::string_view name_of(BackendRequest::Kind kind) noexcept {
  switch (kind) {
    case BackendRequest::Kind::read:
      return "read";
    case BackendRequest::Kind::write:
      return "write";
    case BackendRequest::Kind::flush:
      return "flush";
    case BackendRequest::Kind::trim:
      return "trim";
    case BackendRequest::Kind::write_zeroes:
      return "zero";
    case BackendRequest::Kind::extents:
      break;
  }
  return "extents";
}

Task<bool> Patience::last_until(Loop& loop, Clock::time_point when) const {
  for (auto now = Clock::now(); !is_abandoned_ && now < when; now = Clock::now()) {
    const auto step = std::min(when - now, longest_step);
    co_await loop.sleep(step);
  }
  co_return !is_abandoned_;
}

}  // namespace nbdring
