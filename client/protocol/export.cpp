#include "client/protocol/export.hpp"

#include <algorithm>
#include <bit>

namespace nbdring {

const char* broken_rule(const BlockSizeConstraints& constraints) noexcept {
  const auto [minimum, preferred, maximum] = constraints;
  if (!std::has_single_bit(minimum)) return "the minimum block size is not a power of two";
  if (minimum > nbd::largest_minimum_block) return "the minimum block size exceeds 64 KiB";
  if (!std::has_single_bit(preferred)) return "the preferred block size is not a power of two";
  if (preferred < std::max(minimum, nbd::default_minimum_block)) {
    return "the preferred block size is less than 512 or than the minimum";
  }
  if (maximum < preferred) return "the maximum payload is less than the preferred block size";
  // All bits set means "no limit" and is the one value that need not be a multiple.
  if (maximum != UINT32_MAX && maximum % minimum != 0) {
    return "the maximum payload is not a multiple of the minimum block size";
  }
  return nullptr;
}

const char* broken_rule(const Export& about) noexcept {
  if (about.size > nbd::largest_export) return "the size is 2^63 bytes or more";
  if (about.name.size() > nbd::string_bytes_max) return "the name is longer than 4096 bytes";
  if (about.name.find('\0') != std::string::npos) return "the name contains a NUL";
  if (about.description.size() > nbd::string_bytes_max) {
    return "the description is longer than 4096 bytes";
  }
  if (!about.has(nbd::flag_has_flags)) return "the transmission flags lack HAS_FLAGS";
  if (about.has(nbd::flag_send_fast_zero) && !about.has(nbd::flag_send_write_zeroes)) {
    return "the transmission flags have SEND_FAST_ZERO without SEND_WRITE_ZEROES";
  }
  return broken_rule(about.block_size);
}

}  // namespace nbdring
