#include "client/protocol/reply.hpp"

#include <cerrno>
#include <cstring>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

template <WireStruct T>
void put(ReplyHeader& header, const T& value) noexcept {
  ENSURE(header.size + sizeof value <= header.bytes.size());
  std::memcpy(header.bytes.data() + header.size, &value, sizeof value);
  header.size += sizeof value;
}

// One chunk is the whole reply. `follows`: bytes of payload that the caller sends behind the
// header.
template <WireStruct Content>
ReplyHeader encode_chunk(std::uint64_t cookie, std::uint16_t type, const Content& content,
                         std::uint64_t follows) noexcept {
  const std::uint64_t length = sizeof content + follows;
  ENSURE(length <= UINT32_MAX);
  ReplyHeader header;
  put(header, nbd::StructuredReplyHeader{nbd::structured_reply_magic, nbd::reply_flag_done, type,
                                         cookie, static_cast<std::uint32_t>(length)});
  put(header, content);
  return header;
}

}  // namespace

ReplyHeader encode_simple_reply(std::uint64_t cookie, std::uint32_t nbd_error) noexcept {
  ReplyHeader header;
  put(header, nbd::SimpleReplyHeader{nbd::simple_reply_magic, nbd_error, cookie});
  return header;
}

ReplyHeader encode_data_chunk(std::uint64_t cookie, std::uint64_t offset,
                              std::uint32_t length) noexcept {
  ENSURE(length > 0);
  return encode_chunk(cookie, nbd::reply_type_offset_data, nbd::OffsetData{offset}, length);
}

ReplyHeader encode_hole_chunk(std::uint64_t cookie, std::uint64_t offset,
                              std::uint32_t length) noexcept {
  ENSURE(length > 0);
  return encode_chunk(cookie, nbd::reply_type_offset_hole, nbd::OffsetHole{offset, length}, 0);
}

ReplyHeader encode_block_status_chunk(std::uint64_t cookie, std::uint32_t context_id,
                                      std::uint32_t extents) noexcept {
  ENSURE(extents > 0);
  return encode_chunk(cookie, nbd::reply_type_block_status, nbd::BlockStatus{context_id},
                      std::uint64_t{extents} * sizeof(nbd::Extent));
}

ReplyHeader encode_error_chunk(std::uint64_t cookie, std::uint32_t nbd_error) noexcept {
  ENSURE(nbd_error != 0);
  return encode_chunk(cookie, nbd::reply_type_error, nbd::ChunkError{nbd_error, 0}, 0);
}

ReplyHeader encode_none_chunk(std::uint64_t cookie) noexcept {
  ReplyHeader header;
  put(header, nbd::StructuredReplyHeader{nbd::structured_reply_magic, nbd::reply_flag_done,
                                         nbd::reply_type_none, cookie, 0});
  return header;
}

std::uint32_t nbd_error_from_errno(int error) noexcept {
  static_assert(EOPNOTSUPP == ENOTSUP);
  switch (error) {
    case 0:
      return 0;
    case EPERM:
    case EACCES:
    case EROFS:
      return nbd::eperm;
    case ENOMEM:
      return nbd::enomem;
    case EINVAL:
      return nbd::einval;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return nbd::enospc;
    case EOVERFLOW:
      return nbd::eoverflow;
    case ENOTSUP:
      return nbd::enotsup;
    case ESHUTDOWN:
      return nbd::eshutdown;
    default:
      return nbd::eio;
  }
}

}  // namespace nbdring
