#include "client/protocol/reply_decoder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

// Every chunk of a READ carries at least a sector in any honest server; the eight are for errors
// and for ends that are not aligned. A byte per chunk would cost twenty bytes of header each.
constexpr std::uint64_t bytes_per_chunk_min = 512;
constexpr std::uint64_t chunks_beyond = 8;

constexpr std::uint64_t extents_max = 1 << 20;  // in one reply; the protocol's own limit

// Who asked has 32 bits for a length. A longer extent is cut here, at any block's boundary, and
// ends the list.
constexpr std::uint64_t longest_told = UINT32_MAX - (nbd::largest_minimum_block - 1);

constexpr std::uint64_t error_chunk_max =
    sizeof(nbd::ChunkError) + nbd::string_bytes_max + sizeof(Be64);

}  // namespace

ReplyDecoder::ReplyDecoder(const TransmissionOptions& transmission,
                           std::uint32_t base_allocation_context, AwaitedReplies& awaited)
    : transmission_(transmission), context_(base_allocation_context), awaited_(awaited) {
  expect(State::header, sizeof(nbd::SimpleReplyHeader));
}

std::size_t ReplyDecoder::bytes_before_data() const {
  if (transmission_.extended_headers) {
    return sizeof(nbd::ExtendedReplyHeader) + sizeof(nbd::OffsetData);
  }
  if (transmission_.structured_replies) {
    return sizeof(nbd::StructuredReplyHeader) + sizeof(nbd::OffsetData);
  }
  return sizeof(nbd::SimpleReplyHeader);
}

void ReplyDecoder::data_received(std::size_t bytes) noexcept {
  ENSURE(bytes <= data_rest_.size());
  data_rest_ = data_rest_.subspan(bytes);
}

ReplyDecoder::Event ReplyDecoder::decode(std::span<const std::byte>& input) noexcept {
  for (;;) {
    if (!gather(input)) return Event::more;
    if (!step()) return Event::broken;
    if (std::exchange(answered_, false)) return Event::answered;
  }
}

// True when the state has all bytes that it needs.
bool ReplyDecoder::gather(std::span<const std::byte>& input) noexcept {
  if (state_ == State::data) {
    const std::size_t count = std::min(input.size(), data_rest_.size());
    if (count > 0) std::memcpy(data_rest_.data(), input.data(), count);
    input = input.subspan(count);
    data_rest_ = data_rest_.subspan(count);
    return data_rest_.empty();
  }
  if (state_ == State::rest || state_ == State::error_text) {
    std::uint64_t& skipped = state_ == State::rest ? left_ : text_left_;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), skipped));
    input = input.subspan(count);
    skipped -= count;
    return skipped == 0;
  }
  const std::size_t count = std::min(input.size(), need_ - have_);
  if (count > 0) std::memcpy(bytes_.data() + have_, input.data(), count);
  input = input.subspan(count);
  have_ += count;
  return have_ == need_;
}

bool ReplyDecoder::step() noexcept {
  switch (state_) {
    case State::header:
      return take_header();
    case State::data_offset:
      return begin_data(read_struct<nbd::OffsetData>(bytes_).offset, left_);
    case State::hole:
      return take_hole();
    case State::error:
      return take_error();
    case State::error_text:
      expect(State::error_offset, sizeof(Be64));
      return true;
    case State::error_offset:
      return take_error_offset();
    case State::status:
      return take_status();
    case State::extent:
      return take_extent();
    case State::data:
    case State::rest:
      return end_chunk();
  }
  return false;
}

void ReplyDecoder::expect(State state, std::size_t bytes) noexcept {
  state_ = state;
  have_ = 0;
  need_ = bytes;
}

bool ReplyDecoder::break_off(const char* reason, std::uint64_t value) noexcept {
  broken_ = {reason, value};
  return false;
}

// The magic decides how long the header is; all three forms have 16 bytes at least.
bool ReplyDecoder::take_header() noexcept {
  const std::uint32_t magic = read_struct<Be32>(bytes_);
  const bool extended = transmission_.extended_headers;
  const bool structured = transmission_.structured_replies && !extended;
  if (magic == nbd::simple_reply_magic && !extended) return take_simple();
  if (magic == nbd::structured_reply_magic && structured) {
    need_ = sizeof(nbd::StructuredReplyHeader);
    if (have_ < need_) return true;
    const auto header = read_struct<nbd::StructuredReplyHeader>(bytes_);
    return take_chunk(header.flags, header.type, header.cookie, header.length);
  }
  if (magic == nbd::extended_reply_magic && extended) {
    need_ = sizeof(nbd::ExtendedReplyHeader);
    if (have_ < need_) return true;
    const auto header = read_struct<nbd::ExtendedReplyHeader>(bytes_);
    const AwaitedReply* reply = awaited_.find(header.cookie);
    if (reply != nullptr && reply->offset != header.offset) {
      return break_off("a reply with another offset than its request's", header.offset);
    }
    return take_chunk(header.flags, header.type, header.cookie, header.length);
  }
  if (magic == nbd::simple_reply_magic || magic == nbd::structured_reply_magic ||
      magic == nbd::extended_reply_magic) {
    return break_off("a reply in a form that was not agreed on, by its magic", magic);
  }
  return break_off("a reply with a wrong magic", magic);
}

bool ReplyDecoder::take_simple() noexcept {
  const auto header = read_struct<nbd::SimpleReplyHeader>(bytes_);
  reply_ = awaited_.find(header.cookie);
  if (reply_ == nullptr) return break_off("a reply to no request, with cookie", header.cookie);
  const bool structured = transmission_.structured_replies;
  if (structured && reply_->command == Command::read) {
    return break_off("a simple reply to a READ, structured ones were agreed on: error",
                     header.error);
  }
  if (reply_->chunks > 0) {
    return break_off("a simple reply behind a chunk of the same request, with cookie",
                     header.cookie);
  }
  reply_->error = header.error;
  done_ = true;
  left_ = 0;
  if (reply_->command == Command::read && reply_->error == 0) {
    return begin_data(reply_->offset, reply_->length);
  }
  return end_chunk();
}

bool ReplyDecoder::take_chunk(std::uint16_t flags, std::uint16_t type, std::uint64_t cookie,
                              std::uint64_t length) noexcept {
  reply_ = awaited_.find(cookie);
  if (reply_ == nullptr) return break_off("a chunk to no request, with cookie", cookie);
  if (++reply_->chunks > reply_->length / bytes_per_chunk_min + chunks_beyond) {
    return break_off("too many chunks to one request", reply_->chunks);
  }
  done_ = (flags & nbd::reply_flag_done) != 0;
  type_ = type;
  return begin_chunk(type, length);
}

bool ReplyDecoder::begin_chunk(std::uint16_t type, std::uint64_t length) noexcept {
  const bool is_read = reply_->command == Command::read;
  switch (type) {
    case nbd::reply_type_none:
      if (length != 0) return break_off("an empty chunk that is not empty", length);
      if (!done_) return break_off("an empty chunk that is not the last, with flags", 0);
      left_ = 0;
      return end_chunk();
    case nbd::reply_type_offset_data:
      if (!is_read) return break_off("data in a reply to another command than READ", length);
      if (length <= sizeof(nbd::OffsetData) || length - sizeof(nbd::OffsetData) > reply_->length) {
        return break_off("a chunk of data of a wrong length", length);
      }
      left_ = length - sizeof(nbd::OffsetData);
      expect(State::data_offset, sizeof(nbd::OffsetData));
      return true;
    case nbd::reply_type_offset_hole:
      if (!is_read) return break_off("a hole in a reply to another command than READ", length);
      if (length != sizeof(nbd::OffsetHole)) return break_off("a hole of a wrong length", length);
      left_ = 0;
      expect(State::hole, sizeof(nbd::OffsetHole));
      return true;
    case nbd::reply_type_block_status:
    case nbd::reply_type_block_status_ext:
      return begin_status(length);
    default:
      break;
  }
  if ((type & nbd::reply_type_error_bit) == 0) {
    return break_off("a chunk of an unknown type", type);
  }
  const std::size_t fixed = sizeof(nbd::ChunkError) +
                            (type == nbd::reply_type_error_offset ? sizeof(Be64) : std::size_t{0});
  if (length < fixed || length > error_chunk_max) {
    return break_off("an error of a wrong length", length);
  }
  left_ = length - sizeof(nbd::ChunkError);
  expect(State::error, sizeof(nbd::ChunkError));
  return true;
}

bool ReplyDecoder::begin_data(std::uint64_t offset, std::uint64_t length) noexcept {
  if (!cover(offset, length)) return false;
  data_rest_ = reply_->data.subspan(offset - reply_->offset, length);
  left_ = 0;
  expect(State::data, 0);
  return true;
}

bool ReplyDecoder::take_hole() noexcept {
  const auto hole = read_struct<nbd::OffsetHole>(bytes_);
  if (hole.size == 0) return break_off("a hole of no bytes at offset", hole.offset);
  if (!cover(hole.offset, hole.size)) return false;
  std::memset(reply_->data.data() + (hole.offset - reply_->offset), 0, hole.size);
  return end_chunk();
}

bool ReplyDecoder::cover(std::uint64_t offset, std::uint64_t length) noexcept {
  const std::uint64_t begin = reply_->offset;
  // In this order nothing can wrap around.
  if (offset < begin || length > reply_->length || offset - begin > reply_->length - length) {
    return break_off("data outside of what the READ asked for, at offset", offset);
  }
  const auto from = static_cast<std::uint32_t>(offset - begin);
  switch (reply_->covered.add(from, from + static_cast<std::uint32_t>(length))) {
    case Coverage::Added::fresh:
      return true;
    case Coverage::Added::overlaps:
      return break_off("the same bytes of a READ twice, at offset", offset);
    case Coverage::Added::too_scattered:
      return break_off("the chunks of a READ in too many places, at offset", offset);
  }
  return false;
}

bool ReplyDecoder::take_error() noexcept {
  const auto head = read_struct<nbd::ChunkError>(bytes_);
  if (head.error == 0) return break_off("an error chunk without an error, its type", type_);
  const bool has_offset = type_ == nbd::reply_type_error_offset;
  const std::uint64_t room = left_ - (has_offset ? sizeof(Be64) : 0);
  if (head.message_length > room) {
    return break_off("an error's text that is longer than its chunk", head.message_length);
  }
  if (reply_->error == 0) reply_->error = head.error;
  if (!has_offset) {
    expect(State::rest, 0);
    return true;
  }
  text_left_ = head.message_length;
  left_ = room - text_left_;
  expect(State::error_text, 0);
  return true;
}

bool ReplyDecoder::take_error_offset() noexcept {
  const std::uint64_t offset = read_struct<Be64>(bytes_);
  if (offset < reply_->offset || offset - reply_->offset >= reply_->length) {
    return break_off("an error outside of its request, at offset", offset);
  }
  expect(State::rest, 0);
  return true;
}

bool ReplyDecoder::begin_status(std::uint64_t length) noexcept {
  if (reply_->command != Command::block_status) {
    return break_off("extents in a reply to another command than BLOCK_STATUS", length);
  }
  const bool extended = transmission_.extended_headers;
  if (extended != (type_ == nbd::reply_type_block_status_ext)) {
    return break_off("extents in a form that was not agreed on, by the chunk's type", type_);
  }
  if (reply_->has_status) return break_off("extents twice to one request, of bytes", length);
  const std::size_t fixed = extended ? sizeof(nbd::ExtendedBlockStatus) : sizeof(nbd::BlockStatus);
  const std::size_t each = extended ? sizeof(nbd::ExtendedExtent) : sizeof(nbd::Extent);
  if (length < fixed + each || (length - fixed) % each != 0 ||
      (length - fixed) / each > (reply_->one_extent ? 1 : extents_max)) {
    return break_off("a chunk of extents of a wrong length", length);
  }
  reply_->has_status = true;
  left_ = length - fixed;
  expect(State::status, fixed);
  return true;
}

bool ReplyDecoder::take_status() noexcept {
  const std::uint32_t context = read_struct<Be32>(bytes_);
  if (context != context_) return break_off("extents of an unknown context", context);
  const bool extended = transmission_.extended_headers;
  const std::size_t each = extended ? sizeof(nbd::ExtendedExtent) : sizeof(nbd::Extent);
  if (extended) {
    const std::uint32_t count = read_struct<nbd::ExtendedBlockStatus>(bytes_).extents;
    if (count != left_ / each) return break_off("another number of extents than it says", count);
  }
  expect(State::extent, each);
  return true;
}

bool ReplyDecoder::take_extent() noexcept {
  const bool extended = transmission_.extended_headers;
  std::uint64_t length = 0;
  std::uint64_t flags = 0;
  if (extended) {
    const auto extent = read_struct<nbd::ExtendedExtent>(bytes_);
    length = extent.length;
    flags = extent.flags;
  } else {
    const auto extent = read_struct<nbd::Extent>(bytes_);
    length = extent.length;
    flags = extent.flags;
  }
  AwaitedReply& reply = *reply_;
  if (length == 0) return break_off("an extent of no bytes, with flags", flags);
  if (reply.extents_length >= reply.length) {
    return break_off("extents beyond the end of the request, of bytes", length);
  }
  const std::uint64_t room = reply.length - reply.extents_length;
  if (reply.one_extent && length > room) {
    return break_off("one extent was asked for, and it reaches beyond the request", length);
  }
  // The last one may reach further than was asked.
  const std::uint64_t within = std::min(length, room);
  reply.extents_length += within;
  if (reply.extents_used < reply.extents.size()) {
    constexpr std::uint64_t known = nbd::extent_hole | nbd::extent_zero;
    const std::uint64_t told = std::min(within, longest_told);
    reply.extents[reply.extents_used++] = {static_cast<std::uint32_t>(told),
                                           static_cast<std::uint32_t>(flags & known)};
    if (told < within) reply.extents = reply.extents.first(reply.extents_used);
  }
  left_ -= need_;
  if (left_ == 0) return end_chunk();
  expect(State::extent, need_);
  return true;
}

bool ReplyDecoder::end_chunk() noexcept {
  expect(State::header, sizeof(nbd::SimpleReplyHeader));
  if (!done_) return true;
  if (!is_whole()) return false;
  answered_ = true;
  return true;
}

// Success says that everything that was asked for has come.
bool ReplyDecoder::is_whole() noexcept {
  if (reply_->error != 0) return true;
  if (reply_->command == Command::read && !reply_->covered.is_whole(reply_->length)) {
    return break_off("a reply without all bytes of its READ, of bytes", reply_->length);
  }
  if (reply_->command == Command::block_status && !reply_->has_status) {
    return break_off("a reply to BLOCK_STATUS without extents, of bytes", reply_->length);
  }
  return true;
}

int errno_from_nbd(std::uint32_t nbd_error) noexcept {
  switch (nbd_error) {
    case 0:
      return 0;
    case nbd::eperm:
      return EPERM;
    case nbd::eio:
      return EIO;
    case nbd::enomem:
      return ENOMEM;
    case nbd::enospc:
      return ENOSPC;
    case nbd::eoverflow:
      return EOVERFLOW;
    case nbd::enotsup:
      return ENOTSUP;
    case nbd::eshutdown:
      return ESHUTDOWN;
    default:
      return EINVAL;
  }
}

}  // namespace nbdring
