#include "backends/layers/layers_request.hpp"

#include <algorithm>
#include <cerrno>

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

Task<Status> Patience::last_until(Loop& loop, Clock::time_point when,
                                  const bool& is_given_up) const {
  for (auto now = Clock::now(); !is_abandoned_ && !is_given_up && now < when; now = Clock::now()) {
    const auto step = std::min(when - now, longest_step);
    co_await loop.sleep(step);
  }
  if (is_given_up) co_return Status::from_errno(ECANCELED);
  co_return Status::from_errno(is_abandoned_ ? EIO : 0);
}

}  // namespace nbdring
