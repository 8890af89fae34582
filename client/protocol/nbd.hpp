#pragma once
// The NBD wire: every constant and every fixed struct that client and server exchange, in the order
// of the protocol document (NetworkBlockDevice/nbd, doc/proto.md), under its names without the NBD_
// prefix. Section names in comments are the document's. <linux/nbd.h> is not used: the one of
// kernel 6.1 knows half of this.

#include <cstddef>
#include <cstdint>

#include "client/protocol/bytes.hpp"

namespace nbdring::nbd {

inline constexpr std::uint16_t default_port = 10809;  // TCP and vsock; registered with IANA

// --- Limits ---

inline constexpr std::uint32_t string_bytes_max = 4096;  // "Values": names, descriptions, queries
inline constexpr std::uint32_t option_bytes_max =
    64 * 1024;  // ours: the longest option we listen to
inline constexpr std::uint32_t default_maximum_payload =
    32 * 1024 * 1024;                                        // "Size constraints": none negotiated
inline constexpr std::uint32_t default_minimum_block = 512;  // the same section
inline constexpr std::uint32_t largest_minimum_block =
    64 * 1024;  // "Size constraints": minimum's own limit
inline constexpr std::uint64_t largest_export =
    INT64_MAX;  // ours: what off_t and the block layer can address
// A refused WRITE's payload is skipped up to here; a longer one means that the stream is out of
// step.
inline constexpr std::uint32_t drained_write_max = 2 * default_maximum_payload;  // ours

// An option that names an export and asks for a few things about it fits; a payload that we accept
// is one that we would skip.
static_assert(option_bytes_max >= 4 * string_bytes_max);
static_assert(drained_write_max >= default_maximum_payload);

// --- "Fixed newstyle negotiation" ---

inline constexpr std::uint64_t init_passwd = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t ihaveopt =
    0x49484156454f5054;  // "IHAVEOPT", also before each option
inline constexpr std::uint64_t cliserv_magic_oldstyle = 0x00420281861253;  // refused
inline constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;

// "Handshake flags" (16 bits, from the server) and "Client flags" (32 bits, the answer)
inline constexpr std::uint16_t flag_fixed_newstyle = 1 << 0;
inline constexpr std::uint16_t flag_no_zeroes = 1 << 1;
inline constexpr std::uint32_t flag_c_fixed_newstyle = 1 << 0;
inline constexpr std::uint32_t flag_c_no_zeroes = 1 << 1;
inline constexpr std::uint32_t known_client_flags = flag_c_fixed_newstyle | flag_c_no_zeroes;

struct Greeting {
  Be64 init_passwd;
  Be64 ihaveopt;
  Be16 handshake_flags;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
  Be64 magic;   // ihaveopt
  Be32 option;  // opt_*
  Be32 length;  // bytes of data that follow
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReplyHeader {
  Be64 magic;   // option_reply_magic
  Be32 option;  // the option that is answered
  Be32 type;    // rep_*
  Be32 length;  // bytes of data that follow
};
static_assert(sizeof(OptionReplyHeader) == 20);

// The answer to EXPORT_NAME, the one option without an option reply. 124 zero bytes follow unless
// NO_ZEROES was agreed.
struct ExportNameReply {
  Be64 size;
  Be16 transmission_flags;
};
static_assert(sizeof(ExportNameReply) == 10);
inline constexpr std::size_t export_name_padding = 124;

// "Transmission flags" (16 bits)
inline constexpr std::uint16_t flag_has_flags = 1 << 0;
inline constexpr std::uint16_t flag_read_only = 1 << 1;
inline constexpr std::uint16_t flag_send_flush = 1 << 2;
inline constexpr std::uint16_t flag_send_fua = 1 << 3;
inline constexpr std::uint16_t flag_rotational = 1 << 4;
inline constexpr std::uint16_t flag_send_trim = 1 << 5;
inline constexpr std::uint16_t flag_send_write_zeroes = 1 << 6;
inline constexpr std::uint16_t flag_send_df = 1 << 7;
inline constexpr std::uint16_t flag_can_multi_conn = 1 << 8;
inline constexpr std::uint16_t flag_send_resize = 1 << 9;  // experimental
inline constexpr std::uint16_t flag_send_cache = 1 << 10;
inline constexpr std::uint16_t flag_send_fast_zero = 1 << 11;
inline constexpr std::uint16_t flag_block_status_payload = 1 << 12;  // experimental

// "Option types"
inline constexpr std::uint32_t opt_export_name = 1;
inline constexpr std::uint32_t opt_abort = 2;
inline constexpr std::uint32_t opt_list = 3;
inline constexpr std::uint32_t opt_starttls = 5;
inline constexpr std::uint32_t opt_info = 6;
inline constexpr std::uint32_t opt_go = 7;
inline constexpr std::uint32_t opt_structured_reply = 8;
inline constexpr std::uint32_t opt_list_meta_context = 9;
inline constexpr std::uint32_t opt_set_meta_context = 10;
inline constexpr std::uint32_t opt_extended_headers = 11;  // experimental

// "Option reply types"; errors have the highest bit
inline constexpr std::uint32_t rep_ack = 1;
inline constexpr std::uint32_t rep_server = 2;
inline constexpr std::uint32_t rep_info = 3;
inline constexpr std::uint32_t rep_meta_context = 4;
inline constexpr std::uint32_t rep_error_bit = 1U << 31;
inline constexpr std::uint32_t rep_err_unsup = rep_error_bit + 1;
inline constexpr std::uint32_t rep_err_policy = rep_error_bit + 2;
inline constexpr std::uint32_t rep_err_invalid = rep_error_bit + 3;
inline constexpr std::uint32_t rep_err_platform = rep_error_bit + 4;
inline constexpr std::uint32_t rep_err_tls_reqd = rep_error_bit + 5;
inline constexpr std::uint32_t rep_err_unknown = rep_error_bit + 6;
inline constexpr std::uint32_t rep_err_shutdown = rep_error_bit + 7;
inline constexpr std::uint32_t rep_err_block_size_reqd = rep_error_bit + 8;
inline constexpr std::uint32_t rep_err_too_big = rep_error_bit + 9;
inline constexpr std::uint32_t rep_err_ext_header_reqd = rep_error_bit + 10;

// Information types of INFO and GO
inline constexpr std::uint16_t info_export = 0;
inline constexpr std::uint16_t info_name = 1;
inline constexpr std::uint16_t info_description = 2;
inline constexpr std::uint16_t info_block_size = 3;

struct InfoExport {
  Be16 type;  // info_export
  Be64 size;
  Be16 transmission_flags;
};
static_assert(sizeof(InfoExport) == 12);

struct InfoBlockSize {
  Be16 type;  // info_block_size
  Be32 minimum;
  Be32 preferred;
  Be32 maximum;  // of a payload
};
static_assert(sizeof(InfoBlockSize) == 14);

// "Metadata contexts": the one that the document defines, and what its extents' flags mean
inline constexpr char base_allocation[] = "base:allocation";
inline constexpr std::uint32_t extent_hole = 1 << 0;  // NBD_STATE_HOLE
inline constexpr std::uint32_t extent_zero = 1 << 1;  // NBD_STATE_ZERO

// --- "Transmission phase" ---

inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t simple_reply_magic = 0x67446698;
inline constexpr std::uint32_t structured_reply_magic = 0x668e33ef;
// The extension EXTENDED_HEADERS (branch extension-ext-header)
inline constexpr std::uint32_t extended_request_magic = 0x21e41c71;
inline constexpr std::uint32_t extended_reply_magic = 0x6e8a278c;

// "Command flags" (16 bits)
inline constexpr std::uint16_t cmd_flag_fua = 1 << 0;
inline constexpr std::uint16_t cmd_flag_no_hole = 1 << 1;
inline constexpr std::uint16_t cmd_flag_df = 1 << 2;
inline constexpr std::uint16_t cmd_flag_req_one = 1 << 3;
inline constexpr std::uint16_t cmd_flag_fast_zero = 1 << 4;
inline constexpr std::uint16_t cmd_flag_payload_len = 1 << 5;  // only with extended headers

// "Request types"
inline constexpr std::uint16_t cmd_read = 0;
inline constexpr std::uint16_t cmd_write = 1;
inline constexpr std::uint16_t cmd_disc = 2;
inline constexpr std::uint16_t cmd_flush = 3;
inline constexpr std::uint16_t cmd_trim = 4;
inline constexpr std::uint16_t cmd_cache = 5;
inline constexpr std::uint16_t cmd_write_zeroes = 6;
inline constexpr std::uint16_t cmd_block_status = 7;
inline constexpr std::uint16_t cmd_resize = 8;  // experimental

// "Error values"
inline constexpr std::uint32_t eperm = 1;
inline constexpr std::uint32_t eio = 5;
inline constexpr std::uint32_t enomem = 12;
inline constexpr std::uint32_t einval = 22;
inline constexpr std::uint32_t enospc = 28;
inline constexpr std::uint32_t eoverflow = 75;
inline constexpr std::uint32_t enotsup = 95;
inline constexpr std::uint32_t eshutdown = 108;

struct RequestHeader {
  Be32 magic;  // request_magic
  Be16 command_flags;
  Be16 command;
  Opaque64 cookie;
  Be64 offset;
  Be32 length;
};
static_assert(sizeof(RequestHeader) == 28);

struct ExtendedRequestHeader {
  Be32 magic;  // extended_request_magic
  Be16 command_flags;
  Be16 command;
  Opaque64 cookie;
  Be64 offset;
  Be64 length;
};
static_assert(sizeof(ExtendedRequestHeader) == 32);

struct SimpleReplyHeader {
  Be32 magic;  // simple_reply_magic
  Be32 error;
  Opaque64 cookie;
};
static_assert(sizeof(SimpleReplyHeader) == 16);

struct StructuredReplyHeader {
  Be32 magic;  // structured_reply_magic
  Be16 flags;  // reply_flag_*
  Be16 type;   // reply_type_*
  Opaque64 cookie;
  Be32 length;  // bytes that follow
};
static_assert(sizeof(StructuredReplyHeader) == 20);

struct ExtendedReplyHeader {
  Be32 magic;  // extended_reply_magic
  Be16 flags;  // reply_flag_*
  Be16 type;   // reply_type_*
  Opaque64 cookie;
  Be64 offset;  // the request's
  Be64 length;  // bytes that follow
};
static_assert(sizeof(ExtendedReplyHeader) == 32);

// "Structured reply flags" and "Structured reply types"
inline constexpr std::uint16_t reply_flag_done = 1 << 0;
inline constexpr std::uint16_t reply_type_none = 0;
inline constexpr std::uint16_t reply_type_offset_data = 1;
inline constexpr std::uint16_t reply_type_offset_hole = 2;
inline constexpr std::uint16_t reply_type_block_status = 5;
inline constexpr std::uint16_t reply_type_block_status_ext = 6;  // only with extended headers
inline constexpr std::uint16_t reply_type_error_bit = 1 << 15;
inline constexpr std::uint16_t reply_type_error = reply_type_error_bit + 1;
inline constexpr std::uint16_t reply_type_error_offset = reply_type_error_bit + 2;

// What follows a StructuredReplyHeader, by type
struct OffsetData {
  Be64 offset;  // the data follows
};
static_assert(sizeof(OffsetData) == 8);

struct OffsetHole {
  Be64 offset;
  Be32 size;
};
static_assert(sizeof(OffsetHole) == 12);

struct ChunkError {
  Be32 error;
  Be16 message_length;  // the message follows
};
static_assert(sizeof(ChunkError) == 6);

struct BlockStatus {
  Be32 context_id;  // the extents follow
};
static_assert(sizeof(BlockStatus) == 4);

struct Extent {
  Be32 length;  // bytes
  Be32 flags;   // extent_*
};
static_assert(sizeof(Extent) == 8);

struct ExtendedBlockStatus {
  Be32 context_id;
  Be32 extents;  // how many follow
};
static_assert(sizeof(ExtendedBlockStatus) == 8);

struct ExtendedExtent {
  Be64 length;  // bytes
  Be64 flags;   // extent_*
};
static_assert(sizeof(ExtendedExtent) == 16);

}  // namespace nbdring::nbd
