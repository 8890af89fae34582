#pragma once
// The other end of a lane, without any I/O: encodes requests and checks the replies to them. It
// plays the kernel's driver (simple replies) or a client of `nbdring serve` (structured replies).
//
// Whatever a server must not do throws ProtocolViolation: a wrong magic, a cookie that is not
// outstanding (so a second reply too), a reply of the wrong form, a chunk that does not fit its
// request. It shares the wire structs with the engine, and none of its encoders or checks.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "client/protocol/nbd.hpp"

namespace nbdring {

struct ProtocolViolation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A request as a client writes it; nothing about it needs to be right.
struct ClientRequest {
  std::uint16_t command = nbd::cmd_read;
  std::uint16_t flags = 0;
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t magic = nbd::request_magic;
};

struct ClientExtent {
  std::uint32_t length = 0;
  std::uint32_t flags = 0;
};

struct ClientReply {
  ClientRequest request;
  std::uint32_t error = 0;
  std::vector<std::byte> data;        // of a READ without error
  std::vector<ClientExtent> extents;  // of a BLOCK_STATUS without error
};

class ClientSide {
 public:
  explicit ClientSide(bool structured_replies) : structured_(structured_replies) {}

  /// The request's bytes on the wire; its reply is expected from now on (except of DISC).
  std::vector<std::byte> encode(const ClientRequest& request, std::span<const std::byte> payload);
  /// The reply of this request will not come: the request never arrived as a whole.
  void forget(std::uint64_t cookie) { outstanding_.erase(cookie); }

  /// Bytes from the server, in any pieces.
  void feed(std::span<const std::byte> bytes);
  /// The next complete reply, or nothing.
  std::optional<ClientReply> next();

  const std::map<std::uint64_t, ClientRequest>& outstanding() const { return outstanding_; }
  /// Bytes of a reply that has begun.
  std::size_t unparsed() const { return bytes_.size() - begin_; }

 private:
  std::optional<ClientReply> next_simple();
  std::optional<ClientReply> next_chunk();
  void take_content(ClientReply& reply, std::uint16_t type, std::span<const std::byte> content);
  ClientReply answered(std::uint64_t cookie);
  const ClientRequest& find(std::uint64_t cookie) const;

  bool structured_;
  std::map<std::uint64_t, ClientRequest> outstanding_;
  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
};

}  // namespace nbdring
