#include "tests/support/client_side.hpp"

#include "client/protocol/bytes.hpp"
#include "client/protocol/reply.hpp"

namespace nbdring {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

bool has_structured_answer(const ClientRequest& request) {
  return request.command == nbd::cmd_read || request.command == nbd::cmd_block_status;
}

void expect_length(std::span<const std::byte> content, std::uint64_t length) {
  if (content.size() == length) return;
  throw ProtocolViolation("a chunk has " + number(content.size()) + " bytes instead of " +
                          number(length));
}

}  // namespace

std::vector<std::byte> ClientSide::encode(const ClientRequest& request,
                                          std::span<const std::byte> payload) {
  std::vector<std::byte> bytes;
  bytes.reserve(sizeof(nbd::RequestHeader) + payload.size());
  append_struct(bytes,
                nbd::RequestHeader{request.magic, request.flags, request.command,
                                   Opaque64(request.cookie), request.offset, request.length});
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  if (request.command != nbd::cmd_disc) {
    ENSURE(outstanding_.emplace(request.cookie, request).second);
  }
  return bytes;
}

void ClientSide::feed(std::span<const std::byte> bytes) {
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
  begin_ = 0;
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

std::optional<ClientReply> ClientSide::next() {
  if (unparsed() < sizeof(Be32)) return std::nullopt;
  const std::uint32_t magic = read_struct<Be32>(std::span(bytes_).subspan(begin_));
  if (magic == nbd::simple_reply_magic) return next_simple();
  if (magic == nbd::structured_reply_magic && structured_) return next_chunk();
  throw ProtocolViolation("a reply begins with the magic " + number(magic));
}

const ClientRequest& ClientSide::find(std::uint64_t cookie) const {
  const auto found = outstanding_.find(cookie);
  if (found == outstanding_.end()) {
    throw ProtocolViolation("a reply to cookie " + number(cookie) + ", which is not outstanding");
  }
  return found->second;
}

ClientReply ClientSide::answered(std::uint64_t cookie) {
  ClientReply reply;
  reply.request = find(cookie);
  outstanding_.erase(cookie);
  return reply;
}

std::optional<ClientReply> ClientSide::next_simple() {
  const auto bytes = std::span(bytes_).subspan(begin_);
  if (bytes.size() < sizeof(nbd::SimpleReplyHeader)) return std::nullopt;
  const auto header = read_struct<nbd::SimpleReplyHeader>(bytes);
  const ClientRequest& request = find(header.cookie);
  if (structured_ && has_structured_answer(request)) {
    throw ProtocolViolation("a simple reply to command " + number(request.command));
  }
  const bool has_data = request.command == nbd::cmd_read && header.error == 0;
  const std::size_t data = has_data ? request.length : 0;
  if (bytes.size() < sizeof header + data) return std::nullopt;
  ClientReply reply = answered(header.cookie);
  reply.error = header.error;
  const auto content = bytes.subspan(sizeof header, data);
  reply.data.assign(content.begin(), content.end());
  begin_ += sizeof header + data;
  return reply;
}

std::optional<ClientReply> ClientSide::next_chunk() {
  const auto bytes = std::span(bytes_).subspan(begin_);
  if (bytes.size() < sizeof(nbd::StructuredReplyHeader)) return std::nullopt;
  const auto header = read_struct<nbd::StructuredReplyHeader>(bytes);
  if (header.flags != nbd::reply_flag_done) {
    throw ProtocolViolation("a chunk that is not the whole reply");
  }
  find(header.cookie);
  constexpr std::uint32_t longest = 64 * 1024 * 1024;
  if (header.length > longest) throw ProtocolViolation("a chunk is too long");
  if (bytes.size() < sizeof header + header.length) return std::nullopt;
  ClientReply reply = answered(header.cookie);
  take_content(reply, header.type, bytes.subspan(sizeof header, header.length));
  begin_ += sizeof header + header.length;
  return reply;
}

void ClientSide::take_content(ClientReply& reply, std::uint16_t type,
                              std::span<const std::byte> content) {
  const ClientRequest& request = reply.request;
  if (type == nbd::reply_type_error) {
    expect_length(content, sizeof(nbd::ChunkError));
    reply.error = read_struct<nbd::ChunkError>(content).error;
    if (reply.error == 0) throw ProtocolViolation("an error chunk without an error");
  } else if (type == nbd::reply_type_offset_data && request.command == nbd::cmd_read) {
    expect_length(content, sizeof(nbd::OffsetData) + request.length);
    if (read_struct<nbd::OffsetData>(content).offset != request.offset) {
      throw ProtocolViolation("data of another offset");
    }
    const auto data = content.subspan(sizeof(nbd::OffsetData));
    reply.data.assign(data.begin(), data.end());
  } else if (type == nbd::reply_type_block_status && request.command == nbd::cmd_block_status) {
    const std::size_t extents = (content.size() - sizeof(nbd::BlockStatus)) / sizeof(nbd::Extent);
    expect_length(content, sizeof(nbd::BlockStatus) + extents * sizeof(nbd::Extent));
    if (extents == 0) throw ProtocolViolation("a block status without an extent");
    if (read_struct<nbd::BlockStatus>(content).context_id != base_allocation_id) {
      throw ProtocolViolation("a block status of an unknown context");
    }
    for (std::size_t i = 0; i < extents; ++i) {
      const auto extent = read_struct<nbd::Extent>(
          content.subspan(sizeof(nbd::BlockStatus) + i * sizeof(nbd::Extent)));
      reply.extents.push_back({extent.length, extent.flags});
    }
  } else {
    throw ProtocolViolation("a chunk of type " + number(type) + " for command " +
                            number(request.command));
  }
}

}  // namespace nbdring
