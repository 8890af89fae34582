#include "backends/nbd/shape_rules.hpp"

#include <algorithm>
#include <string>

#include "backends/offered_flags.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::uint64_t compact_length_max =
    UINT32_MAX - (nbd::largest_minimum_block - 1);  // a multiple of every minimum

[[noreturn]] void refuse(const Export& remote, const std::string& why) {
  throw Failure(FailureKind::unreachable,
                "the export '" + remote.name + "' cannot be used: " + why);
}

}  // namespace

Export presented(const Export& remote) {
  if (const char* rule = broken_rule(remote)) refuse(remote, rule);
  const std::uint32_t minimum = remote.block_size.minimum;
  const std::uint64_t size = remote.size - remote.size % minimum;
  if (remote.size == 0) refuse(remote, "its size is 0");
  if (size == 0) refuse(remote, "it is smaller than its minimum block size");

  Export shown;
  shown.name = remote.name;
  shown.description = remote.description;
  shown.size = size;
  shown.transmission_flags = static_cast<std::uint16_t>(
      (offered_flags(remote.is_read_only()) & ~nbd::flag_send_fast_zero) |
      (remote.transmission_flags & nbd::flag_rotational));
  if (!remote.is_read_only() && remote.has(nbd::flag_send_fast_zero)) {
    shown.transmission_flags |= nbd::flag_send_fast_zero;
  }
  shown.block_size.minimum = std::min(minimum, presented_minimum_max);
  shown.block_size.maximum = nbd::default_maximum_payload;
  shown.block_size.preferred = std::min(remote.block_size.preferred, nbd::default_maximum_payload);
  return shown;
}

bool rewrites_blocks(const Export& remote) {
  return !remote.is_read_only() && remote.block_size.minimum > presented_minimum_max;
}

ShapeRules::ShapeRules(const Export& remote, const TransmissionOptions& transmission)
    : minimum(remote.block_size.minimum),
      payload(std::min(remote.block_size.maximum, nbd::default_maximum_payload)),
      range(transmission.extended_headers ? nbd::largest_export : compact_length_max),
      has_flush(remote.has(nbd::flag_send_flush)),
      has_fua(remote.has(nbd::flag_send_fua)),
      has_trim(remote.has(nbd::flag_send_trim)),
      has_write_zeroes(remote.has(nbd::flag_send_write_zeroes)),
      has_fast_zero(remote.has(nbd::flag_send_fast_zero)),
      has_status(transmission.base_allocation) {
  payload = std::max(down(payload), minimum);
  range = down(range);
}

// In one pass, in place. Where two extents meet within a block, it goes to the one that promises
// less; if both promise something that the other does not, the later one gives it up.
std::size_t align_extents(std::span<nbd::Extent> extents, std::uint32_t minimum) noexcept {
  std::uint64_t whole = 0;
  for (const nbd::Extent& extent : extents) whole += extent.length;
  whole -= whole % minimum;
  if (whole == 0) {  // less than a block in all: that it is data is always true
    extents[0] = {minimum, 0};
    return 1;
  }
  std::size_t used = 0;
  std::uint64_t position = 0;  // the end of what has been read
  std::uint64_t told = 0;      // the end of what has been written
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const std::uint32_t flags = extents[i].flags;
    const bool shares_block = used > 0 && position < told;
    if (shares_block) extents[used - 1].flags = extents[used - 1].flags & flags;
    position += extents[i].length;
    std::uint64_t boundary = position - position % minimum;
    if (i + 1 < extents.size() && position > boundary) {
      const std::uint32_t common = flags & extents[i + 1].flags;
      if (common == flags) boundary += minimum;
      if (common != flags) extents[i + 1].flags = common;
    }
    boundary = std::min(boundary, whole);
    if (boundary <= told) continue;
    extents[used++] = {static_cast<std::uint32_t>(boundary - told), flags};
    told = boundary;
  }
  return used;
}

}  // namespace nbdring
