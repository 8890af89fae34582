#pragma once
// The control socket of a device, /run/nbdring/nbdN.sock: how detach, status, resize and upgrade
// talk to its engine.
// The folder is root's alone (0700), so who can connect may do everything.
//
// A connection carries one request and one reply, each a line of JSON:
//
//   {"command":"status"}                          {"exit":0,"body":{...}}
//   {"command":"detach","force":false}            {"exit":3,"error":"/dev/nbd0 is in use: ..."}
//   {"command":"resize","force":false,"size":N}   {"exit":0,"body":{"size":N,...}}; size: optional
//   {"command":"upgrade","program":"/usr/..."}    {"exit":0,"body":{"stall_ms":N,...}}
//
// Nobody is trusted with the engine's time or memory: a line longer than its limit, a request that
// does not come in time, or is none, ends the connection; a few connections are served at once.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "client/transport/stream.hpp"
#include "kernel/deadline.hpp"

namespace nbdring {

struct ControlRequest {
  enum class Command { status, detach, resize, upgrade };
  Command command = Command::status;
  bool force = false;                   // detach although it is in use; make it smaller
  std::optional<std::uint64_t> size{};  // resize: bytes; none: what the backend has
  std::string program{};                // upgrade: the new one, an absolute path
};

struct ControlReply {
  int exit_code = 0;
  std::string error;  // one line; where exit_code is 0 a warning, or empty
  std::string body;   // JSON, or empty
};

/// The texts of the protocol, without the newline. The parsers throw Failure (failed) for what is
/// none.
std::string to_line(const ControlRequest& request);
std::string to_line(const ControlReply& reply);
ControlRequest parse_control_request(const std::string& line);
ControlReply parse_control_reply(const std::string& line);

/// The body of a reply to detach, where the device's end takes longer than a reply may: how long at
/// most. Nothing for another text.
std::string ends_within_body(std::chrono::seconds within);
std::optional<std::chrono::seconds> ends_within(const std::string& body);

/// What the engine does with a request. On the front end's loop, one at a time.
class ControlHandler {
 public:
  virtual ControlReply handle(const ControlRequest& request) = 0;
  /// The reply to the request has been sent, or its receiver has gone.
  virtual void replied(const ControlRequest& request, const ControlReply& reply) = 0;

 protected:
  ~ControlHandler() = default;
};

struct ControlLimits {
  std::size_t request_bytes = 4096;
  std::size_t connections = 8;
  std::chrono::milliseconds deadline{5000};  // to send the request, and to take the reply
};

class ControlServer {
 public:
  ControlServer(Loop& loop, ControlHandler& handler, Log& log, const ControlLimits& limits = {});

  /// Serves until stop(); ends when the last connection has.
  Task<void> accept_on(int listener);
  /// Serves one connection.
  Task<void> converse(FileDescriptor socket);
  /// Ends everything that waits for a peer.
  void stop() noexcept;

  FramePool& frames() { return loop_.frames(); }

 private:
  Task<void> answer(Stream& stream);

  Loop& loop_;
  ControlHandler& handler_;
  Log& log_;
  ControlLimits limits_;
  Scope conversations_;
  std::vector<Stream*> streams_;  // of the conversations under way
  int listener_ = -1;
  bool stopping_ = false;
};

/// The asking side, in the process of detach or status. Blocks, within its deadline.
class ControlConnection {
 public:
  /// Failure (failed) where no engine answers at the path.
  explicit ControlConnection(const std::string& path);

  ControlReply ask(const ControlRequest& request, Deadline deadline);

  /// True when the process at the other end has ended.
  bool wait_for_engine_end(Deadline deadline) const;
  /// Ends it, as soon as what it does in the kernel allows.
  void kill_engine() const;

 private:
  FileDescriptor socket_;
  FileDescriptor engine_;  // pidfd
};

}  // namespace nbdring
