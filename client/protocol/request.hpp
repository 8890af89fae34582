#pragma once
// Where a request's header becomes a Request: the only place that checks what a client asks for.
// Everything behind it (lane, layers, backend) relies on the facts below and holds them with
// ENSURE.
//
// A Request has a known command, flags that the export offers for this command, and, unless it is
// FLUSH or DISC, 0 < length, offset + length <= size, both multiples of the minimum block size;
// READ and WRITE fit the maximum payload.
//
// Everything else is a Refusal, which is answered with its error while the connection lives on, or
// a Desynchronised: after it nobody knows where the next header begins, so the connection ends.
//
// TRIM and WRITE_ZEROES need their transmission flags. The kernel's driver keeps its queue limits
// when a device is configured anew and may send either to an export that does not offer it; so
// whatever is attached to the driver and can be written must offer both.

#include <cstdint>
#include <string>
#include <variant>

#include "client/protocol/export.hpp"
#include "client/protocol/nbd.hpp"

namespace nbdring {

enum class Command : std::uint16_t {
  read = nbd::cmd_read,
  write = nbd::cmd_write,
  disconnect = nbd::cmd_disc,
  flush = nbd::cmd_flush,
  trim = nbd::cmd_trim,
  cache = nbd::cmd_cache,
  write_zeroes = nbd::cmd_write_zeroes,
  block_status = nbd::cmd_block_status,
};

/// What the handshake agreed on beyond the export itself.
struct TransmissionOptions {
  bool structured_replies = false;
  bool base_allocation = false;  // BLOCK_STATUS may be asked
  /// 64-bit lengths, and chunks as with structured replies. Only a client of ours agrees on it.
  bool extended_headers = false;
};

struct Request {
  Command command = Command::disconnect;
  std::uint16_t flags = 0;   // nbd::cmd_flag_*
  std::uint64_t cookie = 0;  // as it stood in memory: opaque
  std::uint64_t offset = 0;  // bytes
  std::uint32_t length = 0;  // bytes

  bool fua() const { return (flags & nbd::cmd_flag_fua) != 0; }
  bool no_hole() const { return (flags & nbd::cmd_flag_no_hole) != 0; }
  bool fast_zero() const { return (flags & nbd::cmd_flag_fast_zero) != 0; }
  bool one_extent() const { return (flags & nbd::cmd_flag_req_one) != 0; }
};

/// A request that gets an error and nothing else.
struct Refusal {
  std::uint64_t cookie = 0;
  std::uint32_t error = 0;    // nbd::e*
  std::uint32_t payload = 0;  // bytes of a WRITE that still come and must be dropped
  std::uint16_t command = 0;  // as received: may be unknown
  const char* reason = "";    // for the log

  /// Enough of a request to answer it. The command may be none of the enumerators.
  Request as_request() const { return {static_cast<Command>(command), 0, cookie, 0, 0}; }
};

/// The stream cannot be trusted any more.
struct Desynchronised {
  const char* reason = "";
  std::uint64_t value = 0;  // what was received
};

/// One line for the log, with the value.
std::string describe(const Desynchronised& broken);

using ParsedRequest = std::variant<Request, Refusal, Desynchronised>;

ParsedRequest parse_request(const nbd::RequestHeader& header, const Export& about,
                            const TransmissionOptions& options) noexcept;

/// The export's flags as this client gets them: DF goes with structured replies, and our replies
/// are never in fragments.
std::uint16_t transmission_flags_for(const Export& about,
                                     const TransmissionOptions& options) noexcept;

}  // namespace nbdring
