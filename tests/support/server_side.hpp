#pragma once
// The other end of a Connection: messages as a server sends them, right or wrong, and a server that
// does what a test says, request by request, on a thread of its own. It shares the wire structs
// with the program, and none of its encoders.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "client/protocol/nbd.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {

using Bytes = std::vector<std::byte>;

Bytes operator+(Bytes left, const Bytes& right);

namespace server_side {

Bytes simple_reply(std::uint64_t cookie, std::uint32_t error = 0, const Bytes& data = {});

/// The form of chunks that was agreed on. What stands after `content` in the header's length may be
/// wrong on purpose.
struct Chunks {
  bool extended = false;
  std::uint64_t offset = 0;  // the request's, echoed in extended headers

  Bytes raw(std::uint64_t cookie, std::uint16_t flags, std::uint16_t type, const Bytes& content,
            std::uint64_t length) const;
  Bytes chunk(std::uint64_t cookie, std::uint16_t flags, std::uint16_t type,
              const Bytes& content) const {
    return raw(cookie, flags, type, content, content.size());
  }
  Bytes none(std::uint64_t cookie) const;
  Bytes data(std::uint64_t cookie, std::uint64_t at, const Bytes& bytes, bool done = true) const;
  Bytes hole(std::uint64_t cookie, std::uint64_t at, std::uint32_t size, bool done = true) const;
  Bytes error(std::uint64_t cookie, std::uint32_t error, const Bytes& text = {},
              bool done = true) const;
  Bytes error_at(std::uint64_t cookie, std::uint32_t error, std::uint64_t at,
                 bool done = true) const;
  struct Extent {
    std::uint64_t length, flags;
  };
  Bytes status(std::uint64_t cookie, std::uint32_t context, const std::vector<Extent>& extents,
               bool done = true) const;
};

}  // namespace server_side

/// A request as the server got it. The command is DISC at the end of the stream, too, with is_end.
struct SeenRequest {
  std::uint16_t flags = 0;
  std::uint16_t command = nbd::cmd_disc;
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Bytes payload;
  bool is_end = false;
};

/// Blocks; no wait is longer than `patience`: then it throws std::runtime_error.
class ServerEnd {
 public:
  static constexpr std::chrono::seconds patience{20};

  ServerEnd(FileDescriptor socket, bool extended)
      : socket_(std::move(socket)), extended_(extended) {}

  SeenRequest request();
  void send(const Bytes& bytes);
  void close() { socket_.reset(); }
  int fd() const { return socket_.get(); }
  /// The next message of the stream is its end.
  bool reads_end() { return request().is_end; }

 private:
  bool receive(std::span<std::byte> bytes);

  FileDescriptor socket_;
  bool extended_;
};

/// Runs a script for the server's end; joins at destruction. What the script throws fails the test.
class ScriptedServer {
 public:
  using Script = std::function<void(ServerEnd&)>;
  ScriptedServer(FileDescriptor socket, Script script, bool extended = false);
  ~ScriptedServer();

 private:
  std::thread thread_;
};

}  // namespace nbdring
