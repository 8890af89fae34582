// Any header against any sound export: what is accepted keeps the promise of request.hpp, what is
// refused can be answered, and only a wrong magic or an absurd WRITE ends the connection.

#include "client/protocol/request.hpp"

#include "client/protocol/reply.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nbdring {
namespace {

Export take_export(FuzzInput& input) {
  Export about;
  about.size = input.take<std::uint64_t>() % (nbd::largest_export + 1);
  about.transmission_flags =
      static_cast<std::uint16_t>(input.take<std::uint16_t>() | nbd::flag_has_flags);
  about.block_size.minimum = 1U << input.take<std::uint8_t>() % 17;
  about.block_size.preferred = 65536;
  about.block_size.maximum = 65536U << input.take<std::uint8_t>() % 10;
  return about;
}

void check(const Request& request, const Export& about) {
  if (request.command == Command::disconnect || request.command == Command::flush) return;
  ENSURE(request.length > 0);
  ENSURE(request.offset < about.size && request.length <= about.size - request.offset);
  ENSURE(request.offset % about.block_size.minimum == 0);
  ENSURE(request.length % about.block_size.minimum == 0);
  const bool has_payload = request.command == Command::read || request.command == Command::write;
  ENSURE(!has_payload || request.length <= about.block_size.maximum);
  const bool only_reads = request.command == Command::read || request.command == Command::cache ||
                          request.command == Command::block_status;
  ENSURE(only_reads || !about.is_read_only());
  ENSURE(!request.fua() || about.has(nbd::flag_send_fua));
}

void check(const Refusal& refusal, const nbd::RequestHeader& header) {
  ENSURE(refusal.error != 0 &&
         refusal.error == nbd_error_from_errno(static_cast<int>(refusal.error)));
  ENSURE(refusal.cookie == header.cookie && refusal.command == header.command);
  ENSURE(refusal.payload == (header.command == nbd::cmd_write ? std::uint32_t{header.length} : 0));
  ENSURE(*refusal.reason != '\0');
  ENSURE(encode_simple_reply(refusal.cookie, refusal.error).size == sizeof(nbd::SimpleReplyHeader));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const Export about = take_export(input);
  const auto choices = input.take<std::uint8_t>();
  const TransmissionOptions options{(choices & 1) != 0, (choices & 2) != 0};
  auto header = input.take<nbd::RequestHeader>();
  if ((choices & 4) == 0) header.magic = nbd::request_magic;

  const ParsedRequest parsed = parse_request(header, about, options);
  if (const auto* request = std::get_if<Request>(&parsed)) check(*request, about);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) check(*refusal, header);
  if (const auto* broken = std::get_if<Desynchronised>(&parsed)) {
    const bool is_write = header.command == nbd::cmd_write;
    ENSURE(header.magic != nbd::request_magic ||
           (is_write && header.length > nbd::drained_write_max));
    ENSURE(!describe(*broken).empty());
  }
  return 0;
}

}  // namespace nbdring
