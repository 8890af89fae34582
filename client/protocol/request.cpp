#include "client/protocol/request.hpp"

#include <array>
#include <bit>
#include <cstdio>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// What a rule says about a request that breaks it. error 0: the rule holds.
struct Verdict {
  std::uint32_t error = 0;
  const char* reason = "";
  bool is_broken() const { return error != 0; }
};

constexpr Verdict fine{};

bool is_known(std::uint16_t command) { return command <= nbd::cmd_block_status; }

bool writes(Command command) {
  return command == Command::write || command == Command::trim || command == Command::write_zeroes;
}

Verdict check_command(Command command, const Export& about, const TransmissionOptions& options) {
  if (writes(command) && about.is_read_only()) return {nbd::eperm, "the export is read-only"};
  const auto needs = [&about](std::uint16_t flag) {
    return about.has(flag) ? fine : Verdict{nbd::einval, "the export does not offer this command"};
  };
  switch (command) {
    case Command::flush:
      return needs(nbd::flag_send_flush);
    case Command::trim:
      return needs(nbd::flag_send_trim);
    case Command::cache:
      return needs(nbd::flag_send_cache);
    case Command::write_zeroes:
      return needs(nbd::flag_send_write_zeroes);
    case Command::block_status:
      if (options.structured_replies && options.base_allocation) return fine;
      return {nbd::einval, "BLOCK_STATUS without a metadata context"};
    default:
      return fine;
  }
}

// "Command flags": FUA goes with every command once the export offers it, the others with one
// command each.
Verdict check_flags(const Request& request, const Export& about,
                    const TransmissionOptions& options) {
  std::uint16_t allowed = 0;
  if (about.has(nbd::flag_send_fua)) allowed |= nbd::cmd_flag_fua;
  if (request.command == Command::read && options.structured_replies) allowed |= nbd::cmd_flag_df;
  if (request.command == Command::block_status) allowed |= nbd::cmd_flag_req_one;
  if (request.command == Command::write_zeroes) {
    allowed |= nbd::cmd_flag_no_hole;
    if (about.has(nbd::flag_send_fast_zero)) allowed |= nbd::cmd_flag_fast_zero;
  }
  if ((request.flags & ~allowed) == 0) return fine;
  return {nbd::einval, "a command flag that this command or export does not have"};
}

// "Error values": what would write past the end has no space there; the rest is invalid.
Verdict check_range(const Request& request, const Export& about) {
  if (request.length == 0) return {nbd::einval, "the length is 0"};
  if (request.offset > about.size || request.length > about.size - request.offset) {
    const bool stores =
        request.command == Command::write || request.command == Command::write_zeroes;
    return {stores ? nbd::enospc : nbd::einval, "beyond the end of the export"};
  }
  ENSURE(std::has_single_bit(about.block_size.minimum));
  const std::uint32_t mask = about.block_size.minimum - 1;
  if ((request.offset & mask) != 0 || (request.length & mask) != 0) {
    return {nbd::einval, "not a multiple of the minimum block size"};
  }
  if (request.length <= about.block_size.maximum) return fine;
  // EOVERFLOW is a hint that only a request without a payload of its own may get.
  if (request.command == Command::read) return {nbd::eoverflow, "longer than the maximum payload"};
  if (request.command == Command::write) return {nbd::einval, "longer than the maximum payload"};
  return fine;
}

Verdict check(const Request& request, const Export& about, const TransmissionOptions& options) {
  if (const auto verdict = check_command(request.command, about, options); verdict.is_broken()) {
    return verdict;
  }
  if (const auto verdict = check_flags(request, about, options); verdict.is_broken()) {
    return verdict;
  }
  if (request.command != Command::flush) return check_range(request, about);
  if (request.offset == 0 && request.length == 0) return fine;
  return {nbd::einval, "FLUSH with an offset or a length"};
}

}  // namespace

ParsedRequest parse_request(const nbd::RequestHeader& header, const Export& about,
                            const TransmissionOptions& options) noexcept {
  if (header.magic != nbd::request_magic) {
    return Desynchronised{"a request does not begin with the request magic", header.magic};
  }
  const std::uint16_t command = header.command;
  const std::uint32_t length = header.length;
  const std::uint32_t payload = command == nbd::cmd_write ? length : 0;
  if (payload > nbd::drained_write_max) {
    return Desynchronised{"a WRITE is longer than anything we would skip", payload};
  }
  if (!is_known(command)) {
    return Refusal{header.cookie, nbd::einval, payload, command, "unknown command"};
  }
  const Request request{static_cast<Command>(command), header.command_flags, header.cookie,
                        header.offset, length};
  // DISC has no reply, so there is nothing to refuse it with.
  if (request.command == Command::disconnect) return request;
  const Verdict verdict = check(request, about, options);
  if (verdict.is_broken()) {
    return Refusal{request.cookie, verdict.error, payload, command, verdict.reason};
  }
  return request;
}

std::uint16_t transmission_flags_for(const Export& about,
                                     const TransmissionOptions& options) noexcept {
  const unsigned without_df = about.transmission_flags & ~unsigned{nbd::flag_send_df};
  const unsigned df = options.structured_replies ? nbd::flag_send_df : 0U;
  return static_cast<std::uint16_t>(without_df | df | nbd::flag_has_flags);
}

std::string describe(const Desynchronised& broken) {
  std::array<char, 48> value{};
  std::snprintf(value.data(), value.size(), ": %llu (0x%llx)",
                static_cast<unsigned long long>(broken.value),
                static_cast<unsigned long long>(broken.value));
  return std::string(broken.reason) + value.data();
}

}  // namespace nbdring
