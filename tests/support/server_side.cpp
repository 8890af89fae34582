#include "tests/support/server_side.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>

#include "client/protocol/bytes.hpp"

namespace nbdring {

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

namespace server_side {
namespace {

template <WireStruct T>
Bytes bytes_of(const T& value) {
  Bytes bytes;
  append_struct(bytes, value);
  return bytes;
}

std::uint16_t flags_of(bool done) { return done ? nbd::reply_flag_done : 0; }

}  // namespace

Bytes simple_reply(std::uint64_t cookie, std::uint32_t error, const Bytes& data) {
  return bytes_of(nbd::SimpleReplyHeader{nbd::simple_reply_magic, error, cookie}) + data;
}

Bytes Chunks::raw(std::uint64_t cookie, std::uint16_t flags, std::uint16_t type,
                  const Bytes& content, std::uint64_t length) const {
  if (extended) {
    const nbd::ExtendedReplyHeader header{
        nbd::extended_reply_magic, flags, type, cookie, offset, length};
    return bytes_of(header) + content;
  }
  const nbd::StructuredReplyHeader header{nbd::structured_reply_magic, flags, type, cookie,
                                          static_cast<std::uint32_t>(length)};
  return bytes_of(header) + content;
}

Bytes Chunks::none(std::uint64_t cookie) const {
  return chunk(cookie, nbd::reply_flag_done, nbd::reply_type_none, {});
}

Bytes Chunks::data(std::uint64_t cookie, std::uint64_t at, const Bytes& bytes, bool done) const {
  return chunk(cookie, flags_of(done), nbd::reply_type_offset_data,
               bytes_of(nbd::OffsetData{at}) + bytes);
}

Bytes Chunks::hole(std::uint64_t cookie, std::uint64_t at, std::uint32_t size, bool done) const {
  return chunk(cookie, flags_of(done), nbd::reply_type_offset_hole,
               bytes_of(nbd::OffsetHole{at, size}));
}

Bytes Chunks::error(std::uint64_t cookie, std::uint32_t error, const Bytes& text, bool done) const {
  const nbd::ChunkError head{error, static_cast<std::uint16_t>(text.size())};
  return chunk(cookie, flags_of(done), nbd::reply_type_error, bytes_of(head) + text);
}

Bytes Chunks::error_at(std::uint64_t cookie, std::uint32_t error, std::uint64_t at,
                       bool done) const {
  return chunk(cookie, flags_of(done), nbd::reply_type_error_offset,
               bytes_of(nbd::ChunkError{error, 0}) + bytes_of(Be64(at)));
}

Bytes Chunks::status(std::uint64_t cookie, std::uint32_t context,
                     const std::vector<Extent>& extents, bool done) const {
  const auto count = static_cast<std::uint32_t>(extents.size());
  Bytes content = extended ? bytes_of(nbd::ExtendedBlockStatus{context, count})
                           : bytes_of(nbd::BlockStatus{context});
  for (const Extent& extent : extents) {
    content =
        content + (extended ? bytes_of(nbd::ExtendedExtent{extent.length, extent.flags})
                            : bytes_of(nbd::Extent{static_cast<std::uint32_t>(extent.length),
                                                   static_cast<std::uint32_t>(extent.flags)}));
  }
  const std::uint16_t type =
      extended ? nbd::reply_type_block_status_ext : nbd::reply_type_block_status;
  return chunk(cookie, flags_of(done), type, content);
}

}  // namespace server_side

bool ServerEnd::receive(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    pollfd set{socket_.get(), POLLIN, 0};
    const auto limit = std::chrono::milliseconds(patience).count();
    if (::poll(&set, 1, static_cast<int>(limit)) == 0) {
      throw std::runtime_error("the client sent nothing");
    }
    const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

SeenRequest ServerEnd::request() {
  SeenRequest seen;
  Bytes header(extended_ ? sizeof(nbd::ExtendedRequestHeader) : sizeof(nbd::RequestHeader));
  if (!receive(header)) {
    seen.is_end = true;
    return seen;
  }
  if (extended_) {
    const auto got = read_struct<nbd::ExtendedRequestHeader>(header);
    if (got.magic != nbd::extended_request_magic) throw std::runtime_error("a wrong magic");
    seen = {got.command_flags, got.command, got.cookie, got.offset, got.length, {}, false};
  } else {
    const auto got = read_struct<nbd::RequestHeader>(header);
    if (got.magic != nbd::request_magic) throw std::runtime_error("a wrong magic");
    seen = {got.command_flags, got.command, got.cookie, got.offset, got.length, {}, false};
  }
  if (seen.command == nbd::cmd_write) seen.payload.resize(seen.length);
  seen.is_end = !receive(seen.payload);
  return seen;
}

void ServerEnd::send(const Bytes& bytes) {
  std::span<const std::byte> rest = bytes;
  while (!rest.empty()) {
    const ssize_t count = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return;  // the client had enough
    if (count < 0) throw std::runtime_error("the server cannot send");
    rest = rest.subspan(static_cast<std::size_t>(count));
  }
}

ScriptedServer::ScriptedServer(FileDescriptor socket, Script script, bool extended)
    : thread_([server = ServerEnd(std::move(socket), extended), script]() mutable {
        try {
          script(server);
        } catch (const std::exception& error) {
          ADD_FAILURE() << "the server's script: " << error.what();
        }
      }) {}

ScriptedServer::~ScriptedServer() { thread_.join(); }

}  // namespace nbdring
