#include "client/protocol/request.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace nbdring {
namespace {

constexpr std::uint16_t everything =
    nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_fua | nbd::flag_send_trim |
    nbd::flag_send_write_zeroes | nbd::flag_send_fast_zero | nbd::flag_can_multi_conn;
constexpr std::uint16_t reading =
    nbd::flag_has_flags | nbd::flag_read_only | nbd::flag_send_flush | nbd::flag_send_fua;

constexpr std::uint64_t size = 1 << 20;  // bytes of the export
constexpr std::uint64_t cookie = 0x0102030405060708;

Export export_of(std::uint64_t bytes, std::uint16_t flags = everything) {
  Export about;
  about.size = bytes;
  about.transmission_flags = flags;
  about.block_size = {512, 4096, 64 * 1024};
  return about;
}

nbd::RequestHeader header_of(std::uint16_t command, std::uint64_t offset, std::uint32_t length,
                             std::uint16_t flags = 0) {
  return {nbd::request_magic, flags, command, cookie, offset, length};
}

constexpr TransmissionOptions simple{};
constexpr TransmissionOptions structured{true, true};

// "ok", or the name of the error.
std::string outcome(const nbd::RequestHeader& header, const Export& about,
                    const TransmissionOptions& options = simple) {
  const auto parsed = parse_request(header, about, options);
  if (std::holds_alternative<Request>(parsed)) return "ok";
  if (std::holds_alternative<Desynchronised>(parsed)) return "desynchronised";
  const auto& refusal = std::get<Refusal>(parsed);
  EXPECT_EQ(refusal.cookie, cookie);
  EXPECT_EQ(refusal.command, header.command);
  EXPECT_STRNE(refusal.reason, "");
  switch (refusal.error) {
    case nbd::eperm:
      return "EPERM";
    case nbd::einval:
      return "EINVAL";
    case nbd::enospc:
      return "ENOSPC";
    case nbd::eoverflow:
      return "EOVERFLOW";
    default:
      return "error " + std::to_string(refusal.error);
  }
}

TEST(ParseRequest, HandsOnWhatItAccepts) {
  const auto parsed = parse_request(header_of(nbd::cmd_write, 4096, 8192, nbd::cmd_flag_fua),
                                    export_of(size), simple);
  const auto& request = std::get<Request>(parsed);
  EXPECT_EQ(request.command, Command::write);
  EXPECT_EQ(request.cookie, cookie);
  EXPECT_EQ(request.offset, 4096u);
  EXPECT_EQ(request.length, 8192u);
  EXPECT_TRUE(request.fua());
  EXPECT_FALSE(request.no_hole());
}

TEST(ParseRequest, ReadsTheFlagsOfEachCommand) {
  const Export about = export_of(size);
  const auto flags = static_cast<std::uint16_t>(nbd::cmd_flag_no_hole | nbd::cmd_flag_fast_zero);
  const auto zeroes = std::get<Request>(
      parse_request(header_of(nbd::cmd_write_zeroes, 0, 512, flags), about, simple));
  EXPECT_TRUE(zeroes.no_hole());
  EXPECT_TRUE(zeroes.fast_zero());
  EXPECT_FALSE(zeroes.fua());
  const auto status = std::get<Request>(parse_request(
      header_of(nbd::cmd_block_status, 0, 512, nbd::cmd_flag_req_one), about, structured));
  EXPECT_TRUE(status.one_extent());
}

TEST(ParseRequest, WrongMagicIsTheEndOfTheConnection) {
  auto header = header_of(nbd::cmd_read, 0, 512);
  header.magic = 0x25609514;
  const auto parsed = parse_request(header, export_of(size), simple);
  const auto& broken = std::get<Desynchronised>(parsed);
  EXPECT_EQ(describe(broken),
            "a request does not begin with the request magic: 627086612 (0x25609514)");
}

TEST(ParseRequest, RefusedWriteSaysWhatMustBeDrained) {
  const auto payload = [](std::uint16_t command, std::uint32_t length) {
    return std::get<Refusal>(parse_request(header_of(command, 0, length), export_of(size), simple))
        .payload;
  };
  EXPECT_EQ(payload(nbd::cmd_write, 513), 513u);
  EXPECT_EQ(payload(nbd::cmd_write, nbd::drained_write_max), nbd::drained_write_max);
  EXPECT_EQ(payload(nbd::cmd_read, 513), 0u);
  EXPECT_EQ(payload(nbd::cmd_trim, 513), 0u);
  EXPECT_EQ(payload(nbd::cmd_resize, 513), 0u);
}

TEST(ParseRequest, WriteThatNobodyWouldSendIsTheEndOfTheConnection) {
  const Export about = export_of(size);
  EXPECT_EQ(outcome(header_of(nbd::cmd_write, 0, nbd::drained_write_max + 1), about),
            "desynchronised");
  EXPECT_EQ(outcome(header_of(nbd::cmd_write, 0, UINT32_MAX), about), "desynchronised");
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 0, UINT32_MAX), about), "EINVAL");
}

TEST(ParseRequest, ReadOnlyExportRefusesWhatWrites) {
  const Export about = export_of(size, reading);
  for (const auto command : {nbd::cmd_write, nbd::cmd_trim, nbd::cmd_write_zeroes}) {
    EXPECT_EQ(outcome(header_of(command, 0, 512), about), "EPERM") << command;
    EXPECT_EQ(outcome(header_of(command, size, 512), about), "EPERM") << command;
  }
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 0, 512), about), "ok");
  EXPECT_EQ(outcome(header_of(nbd::cmd_flush, 0, 0), about), "ok");
}

TEST(ParseRequest, EndOfTheExport) {
  const Export about = export_of(size);
  struct Case {
    std::uint16_t command;
    const char* expected;
  };
  for (const auto& [command, expected] :
       {Case{nbd::cmd_read, "EINVAL"}, Case{nbd::cmd_write, "ENOSPC"},
        Case{nbd::cmd_trim, "EINVAL"}, Case{nbd::cmd_write_zeroes, "ENOSPC"},
        Case{nbd::cmd_block_status, "EINVAL"}}) {
    EXPECT_EQ(outcome(header_of(command, size - 512, 512), about, structured), "ok") << command;
    EXPECT_EQ(outcome(header_of(command, size - 512, 1024), about, structured), expected);
    EXPECT_EQ(outcome(header_of(command, size, 512), about, structured), expected);
    EXPECT_EQ(outcome(header_of(command, UINT64_MAX - 511, 512), about, structured), expected);
    EXPECT_EQ(outcome(header_of(command, UINT64_MAX, 512), about, structured), expected);
  }
}

TEST(ParseRequest, AlignmentIsTheExportsMinimum) {
  Export about = export_of(5000);
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 1, 512), about), "EINVAL");
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 0, 511), about), "EINVAL");
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 4608, 392), about), "EINVAL");
  about.block_size.minimum = 1;
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 1, 511), about), "ok");
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 4608, 392), about), "ok");
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 4608, 393), about), "EINVAL");
}

TEST(ParseRequest, MaximumPayloadBindsReadAndWriteOnly) {
  const Export about = export_of(size);
  const std::uint32_t most = about.block_size.maximum;
  for (const auto command : {nbd::cmd_read, nbd::cmd_write, nbd::cmd_trim, nbd::cmd_write_zeroes}) {
    EXPECT_EQ(outcome(header_of(command, 0, most), about), "ok") << command;
  }
  EXPECT_EQ(outcome(header_of(nbd::cmd_read, 0, most + 512), about), "EOVERFLOW");
  EXPECT_EQ(outcome(header_of(nbd::cmd_write, 0, most + 512), about), "EINVAL");
  EXPECT_EQ(outcome(header_of(nbd::cmd_trim, 0, size), about), "ok");
  EXPECT_EQ(outcome(header_of(nbd::cmd_write_zeroes, 0, size), about), "ok");
}

TEST(ParseRequest, FlushHasNoRange) {
  const Export about = export_of(size);
  EXPECT_EQ(outcome(header_of(nbd::cmd_flush, 0, 0), about), "ok");
  EXPECT_EQ(outcome(header_of(nbd::cmd_flush, 0, 512), about), "EINVAL");
  EXPECT_EQ(outcome(header_of(nbd::cmd_flush, 512, 0), about), "EINVAL");
}

TEST(ParseRequest, DisconnectIsNeverRefused) {
  EXPECT_EQ(outcome(header_of(nbd::cmd_disc, 77, 99, 0xffff), export_of(size, reading)), "ok");
}

TEST(ParseRequest, CommandsNeedTheirTransmissionFlags) {
  const Export about = export_of(size, nbd::flag_has_flags);
  for (const auto command : {nbd::cmd_trim, nbd::cmd_cache, nbd::cmd_write_zeroes}) {
    EXPECT_EQ(outcome(header_of(command, 0, 512), about), "EINVAL") << command;
  }
  EXPECT_EQ(outcome(header_of(nbd::cmd_flush, 0, 0), about), "EINVAL");
  EXPECT_EQ(outcome(header_of(nbd::cmd_cache, 0, 512),
                    export_of(size, nbd::flag_has_flags | nbd::flag_send_cache)),
            "ok");
}

TEST(ParseRequest, BlockStatusNeedsItsContext) {
  const Export about = export_of(size);
  const auto header = header_of(nbd::cmd_block_status, 0, 512);
  EXPECT_EQ(outcome(header, about, {true, true}), "ok");
  EXPECT_EQ(outcome(header, about, {true, false}), "EINVAL");
  EXPECT_EQ(outcome(header, about, {false, false}), "EINVAL");
}

TEST(ParseRequest, RefusalCanBeAnsweredLikeARequest) {
  const auto parsed = parse_request(header_of(999, 0, 512), export_of(size), simple);
  const Request request = std::get<Refusal>(parsed).as_request();
  EXPECT_EQ(request.cookie, cookie);
  EXPECT_EQ(static_cast<std::uint16_t>(request.command), 999);
  EXPECT_EQ(request.length, 0u);
}

TEST(TransmissionFlags, DontFragmentGoesWithStructuredReplies) {
  const Export about = export_of(size);
  EXPECT_EQ(transmission_flags_for(about, structured), everything | nbd::flag_send_df);
  EXPECT_EQ(transmission_flags_for(about, simple), everything);
  EXPECT_EQ(transmission_flags_for(export_of(size, everything | nbd::flag_send_df), simple),
            everything);
}

// --- Every command with every set of flags at every boundary ---

// The rules once more, written as what is allowed, in arithmetic that cannot overflow.
bool is_allowed(const nbd::RequestHeader& header, const Export& about,
                const TransmissionOptions& options) {
  const std::uint16_t command = header.command;
  if (command == nbd::cmd_disc) return true;
  std::uint32_t flags = 0;
  if (about.has(nbd::flag_send_fua)) flags |= 1;
  bool offered = true;
  switch (command) {
    case nbd::cmd_read:
      if (options.structured_replies) flags |= 4;
      break;
    case nbd::cmd_write:
      offered = !about.is_read_only();
      break;
    case nbd::cmd_flush:
      offered = about.has(nbd::flag_send_flush) && header.offset == 0 && header.length == 0;
      break;
    case nbd::cmd_trim:
      offered = about.has(nbd::flag_send_trim) && !about.is_read_only();
      break;
    case nbd::cmd_cache:
      offered = about.has(nbd::flag_send_cache);
      break;
    case nbd::cmd_write_zeroes:
      offered = about.has(nbd::flag_send_write_zeroes) && !about.is_read_only();
      flags |= about.has(nbd::flag_send_fast_zero) ? 2 | 16 : 2;
      break;
    case nbd::cmd_block_status:
      offered = options.base_allocation && options.structured_replies;
      flags |= 8;
      break;
    default:
      return false;
  }
  if (!offered || (header.command_flags & ~flags) != 0) return false;
  if (command == nbd::cmd_flush) return true;
  __extension__ using Wide = unsigned __int128;
  const bool inside = Wide{header.offset} + header.length <= about.size;
  const bool aligned = header.offset % about.block_size.minimum == 0 &&
                       header.length % about.block_size.minimum == 0;
  const bool fits = command > nbd::cmd_write || header.length <= about.block_size.maximum;
  return header.length > 0 && inside && aligned && fits;
}

std::vector<Export> exports_to_try() {
  std::vector<Export> exports;
  for (const std::uint16_t flags :
       {everything, reading, nbd::flag_has_flags,
        static_cast<std::uint16_t>(everything | nbd::flag_send_cache | nbd::flag_read_only),
        static_cast<std::uint16_t>(nbd::flag_has_flags | nbd::flag_send_write_zeroes)}) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, size, nbd::largest_export}) {
      exports.push_back(export_of(bytes, flags));
    }
    Export bytewise = export_of(5000, flags);
    bytewise.block_size.minimum = 1;
    exports.push_back(bytewise);
  }
  return exports;
}

// What every layer below relies on (request.hpp), checked for what was accepted.
bool keeps_its_promise(const Request& request, const Export& about) {
  if (request.command == Command::flush || request.command == Command::disconnect) return true;
  return request.length > 0 && request.length <= about.size &&
         request.offset <= about.size - request.length &&
         request.offset % about.block_size.minimum == 0 &&
         request.length % about.block_size.minimum == 0;
}

TEST(ParseRequest, ExactlyTheAllowedIsAccepted) {
  const std::array<TransmissionOptions, 3> all_options{
      {{false, false}, {true, false}, {true, true}}};
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;
  std::uint64_t wrong = 0;
  for (const Export& about : exports_to_try()) {
    const std::uint64_t end = about.size;
    const std::array<std::uint64_t, 10> offsets{
        0, 1, 512, end - 1024, end - 512, end - 1, end, end + 512, UINT64_MAX - 511, UINT64_MAX};
    const std::array<std::uint32_t, 10> lengths{
        0, 1, 511, 512, 1024, 65536, 66048, nbd::drained_write_max, 0x80000000, 0xfffffe00};
    for (const auto& options : all_options) {
      for (std::uint16_t command = 0; command < 11; ++command) {
        for (std::uint32_t flags = 0; flags <= 0x40; ++flags) {
          for (const std::uint64_t offset : offsets) {
            for (const std::uint32_t length : lengths) {
              const auto header =
                  header_of(command, offset, length, static_cast<std::uint16_t>(flags));
              const auto parsed = parse_request(header, about, options);
              const auto* request = std::get_if<Request>(&parsed);
              ++(request != nullptr ? accepted : refused);
              const bool is_right = (request != nullptr) == is_allowed(header, about, options) &&
                                    (request == nullptr || keeps_its_promise(*request, about));
              if (is_right || ++wrong > 5) continue;
              ADD_FAILURE() << "command " << command << " flags " << flags << " offset " << offset
                            << " length " << length << " size " << about.size;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(accepted, 100'000u);
  EXPECT_GT(refused, 1'000'000u);
}

}  // namespace
}  // namespace nbdring
