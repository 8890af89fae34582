#include "tests/simulation/script.hpp"

#include <algorithm>
#include <array>

#include "tests/support/pattern.hpp"

namespace nbdring {
namespace {

bool changes(std::uint16_t command) {
  return command == nbd::cmd_write || command == nbd::cmd_trim || command == nbd::cmd_write_zeroes;
}

PlannedRequest refused(std::uint16_t command, std::uint16_t flags, std::uint64_t offset,
                       std::uint32_t length, std::uint32_t error) {
  PlannedRequest planned;
  planned.request.command = command;
  planned.request.flags = flags;
  planned.request.offset = offset;
  planned.request.length = length;
  planned.error = error;
  return planned;
}

}  // namespace

PlannedRequest Script::next(std::uint64_t cookie, std::uint64_t number) {
  PlannedRequest planned = random_.percent(invalid_percent_) ? invalid() : valid();
  ClientRequest& request = planned.request;
  request.cookie = cookie;
  if (is_refused_for_writing(request.command)) planned.error = nbd::eperm;
  planned.is_change = planned.is_valid() && changes(request.command);
  if (request.command == nbd::cmd_write) {
    planned.number = number;
    planned.payload = pattern(number, request.offset, request.length);
  }
  return planned;
}

bool Script::is_refused_for_writing(std::uint16_t command) const {
  return about_.is_read_only() && changes(command);
}

Script::Range Script::range(std::uint32_t longest) {
  const std::uint32_t block = about_.block_size.minimum;
  const std::uint64_t blocks = about_.size / block;
  const std::uint64_t most = std::min<std::uint64_t>(longest / block, blocks);
  // Mostly short ones; sometimes as long as can be.
  const std::uint64_t usual = std::min<std::uint64_t>(most, std::max<std::uint64_t>(most / 8, 4));
  const std::uint64_t length = random_.between(1, random_.percent(85) ? usual : most);
  const std::uint64_t first = random_.below(blocks - length + 1);
  return {first * block, static_cast<std::uint32_t>(length * block)};
}

// A range that no change is under way on, if one is found: only those can be checked.
Script::Range Script::idle_range(std::uint32_t longest) {
  Range found = range(longest);
  for (int tries = 0; tries < 8 && oracle_.is_busy(found.offset, found.length); ++tries) {
    found = range(longest);
  }
  return found;
}

PlannedRequest Script::valid() {
  const auto limit = about_.block_size.maximum;
  const std::uint64_t choice = random_.below(100);
  PlannedRequest planned;
  ClientRequest& request = planned.request;
  if (about_.has(nbd::flag_send_fua) && random_.percent(20)) request.flags = nbd::cmd_flag_fua;
  if (choice >= 90) {
    request.command = nbd::cmd_flush;
    return planned;
  }
  std::uint32_t longest = limit;
  if (choice < 40) {
    request.command = nbd::cmd_read;
    if (transmission_.structured_replies && random_.percent(30)) request.flags |= nbd::cmd_flag_df;
  } else if (choice < 75) {
    request.command = nbd::cmd_write;
  } else if (choice < 80) {
    request.command = nbd::cmd_trim;
    longest = 2 * limit;
  } else if (choice < 85 || !transmission_.base_allocation) {
    request.command = nbd::cmd_write_zeroes;
    if (random_.percent(30)) request.flags |= nbd::cmd_flag_no_hole;
    if (random_.percent(30)) request.flags |= nbd::cmd_flag_fast_zero;
    longest = 2 * limit;
  } else {
    request.command = nbd::cmd_block_status;
    if (random_.percent(50)) request.flags |= nbd::cmd_flag_req_one;
    longest = 2 * limit;
  }
  const Range chosen = random_.percent(95) ? idle_range(longest) : range(longest);
  request.offset = chosen.offset;
  request.length = chosen.length;
  return planned;
}

PlannedRequest Script::invalid() {
  switch (random_.below(7)) {
    case 0:
      return beyond_end();
    case 1:
      return too_long();
    case 2:
      return unaligned();
    case 3:
      return wrong_flags();
    case 4:
      return unknown_command();
    case 5:
      return not_offered();
    default:
      return refused(ranged_command(), 0, 0, 0, nbd::einval);
  }
}

std::uint16_t Script::ranged_command() {
  static constexpr std::array<std::uint16_t, 4> commands{nbd::cmd_read, nbd::cmd_write,
                                                         nbd::cmd_trim, nbd::cmd_write_zeroes};
  return random_.pick(commands);
}

PlannedRequest Script::beyond_end() {
  const std::uint16_t command = ranged_command();
  const Range inside = range(about_.block_size.maximum);
  const std::array<std::uint64_t, 4> offsets{
      about_.size - inside.length + about_.block_size.minimum, about_.size,
      about_.size + 1024 * about_.block_size.minimum, std::uint64_t{0} - inside.length};
  const bool stores = command == nbd::cmd_write || command == nbd::cmd_write_zeroes;
  return refused(command, 0, random_.pick(offsets), inside.length,
                 stores ? nbd::enospc : nbd::einval);
}

// Only where the export is larger than the longest payload; else it is beyond the end as well.
PlannedRequest Script::too_long() {
  const std::uint32_t length = about_.block_size.maximum + about_.block_size.minimum;
  if (length > about_.size) return beyond_end();
  const bool is_read = random_.percent(50);
  return refused(is_read ? nbd::cmd_read : nbd::cmd_write, 0, 0, length,
                 is_read ? nbd::eoverflow : nbd::einval);
}

PlannedRequest Script::unaligned() {
  const std::uint32_t block = about_.block_size.minimum;
  if (block == 1) return wrong_flags();
  const Range inside = range(about_.block_size.maximum);
  if (random_.percent(50)) {
    return refused(ranged_command(), 0, inside.offset, inside.length - 1, nbd::einval);
  }
  // Moved towards the middle, so that it stays within the export.
  return refused(ranged_command(), 0, inside.offset + 1, inside.length - block + 1, nbd::einval);
}

PlannedRequest Script::wrong_flags() {
  const std::uint16_t command = ranged_command();
  const Range inside = range(about_.block_size.maximum);
  constexpr std::uint16_t never = nbd::cmd_flag_payload_len | 1 << 9;
  return refused(command, never, inside.offset, inside.length, nbd::einval);
}

PlannedRequest Script::unknown_command() {
  static constexpr std::array<std::uint16_t, 4> commands{nbd::cmd_resize, 9, 0x100, 0xffff};
  return refused(random_.pick(commands), 0, 0, static_cast<std::uint32_t>(random_.next()),
                 nbd::einval);
}

PlannedRequest Script::not_offered() {
  const Range inside = range(about_.block_size.maximum);
  if (!transmission_.base_allocation && random_.percent(50)) {
    return refused(nbd::cmd_block_status, 0, inside.offset, inside.length, nbd::einval);
  }
  if (random_.percent(50)) return refused(nbd::cmd_flush, 0, inside.offset, 1, nbd::einval);
  return refused(nbd::cmd_cache, 0, inside.offset, inside.length, nbd::einval);
}

}  // namespace nbdring
