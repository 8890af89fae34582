#pragma once
// What unit tests start with: a pair of connected sockets, a file that goes away by itself, and a
// lane on its own thread with a client at the other end of its socket.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/engine/lane.hpp"
#include "client/engine/lane_thread.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/log.hpp"
#include "tests/support/client_side.hpp"

namespace nbdring {

struct SocketPair {
  SocketPair();
  FileDescriptor near, far;
};

/// A file under $TMPDIR or the working directory (which has a disk behind it, unlike a tmpfs on
/// /tmp); removed with its owner.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::uint64_t bytes, const std::string& folder = {});
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return file_.get(); }
  /// Bytes on the disk, holes not counted.
  std::uint64_t allocated() const;
  std::vector<std::byte> read(std::uint64_t offset, std::size_t length) const;
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  void truncate(std::uint64_t bytes) const;

 private:
  std::string path_;
  FileDescriptor file_;
};

/// A log whose lines a test can read.
class CapturedLog {
 public:
  CapturedLog();
  Log& log() { return log_; }
  std::string text() const;

 private:
  FileDescriptor file_;
  Log log_;
};

/// A client that blocks, for sockets with a server on another thread. No wait is longer than
/// `patience`: then it throws std::runtime_error.
class BlockingClient {
 public:
  static constexpr std::chrono::seconds patience{20};

  explicit BlockingClient(FileDescriptor socket, bool structured_replies = false)
      : socket_(std::move(socket)), side_(structured_replies) {}

  /// Sends it with a new cookie, which is returned.
  std::uint64_t send(ClientRequest request, std::span<const std::byte> payload = {});
  void send_raw(std::span<const std::byte> bytes);
  ClientReply reply();
  ClientReply call(const ClientRequest& request, std::span<const std::byte> payload = {});
  /// Waits for the end of the stream. False when something comes first.
  bool reads_end();
  std::vector<std::byte> receive_raw(std::size_t bytes);
  void close_writing();
  void close() { socket_.reset(); }
  int fd() const { return socket_.get(); }
  ClientSide& side() { return side_; }

 private:
  FileDescriptor socket_;
  ClientSide side_;
  std::uint64_t next_cookie_ = 1;
};

ClientRequest make_request(std::uint16_t command, std::uint64_t offset, std::uint32_t length,
                           std::uint16_t flags = 0);

/// The smallest lane: one slot, 256 KiB.
LaneOptions small_lane();

/// A lane on its own thread over a backend, and a client.
class LaneFixture {
 public:
  LaneFixture(Backend& backend, const LaneOptions& options,
              const TransmissionOptions& transmission = {});
  ~LaneFixture();

  BlockingClient& client() { return client_; }
  LaneStats& stats() { return stats_; }
  LaneThread& thread() { return *thread_; }

  /// Waits until the lane serves, or answers with the state that it has reached instead.
  LaneState wait_serving();
  /// Waits for the lane's end.
  LaneEnd end();
  /// After end(): what the backend's lane said at its close.
  Status closed() const { return closed_; }
  /// After end(): frames that did not fit the pool while the lane ran.
  std::uint64_t frame_fallbacks() const { return fallbacks_; }

 private:
  LaneFixture(SocketPair sockets, Backend& backend, const LaneOptions& options,
              const TransmissionOptions& transmission);
  Task<void> serve(Loop& loop, Stream& stream);

  Backend& backend_;
  LaneOptions options_;
  TransmissionOptions transmission_;
  LaneStats stats_;
  BlockingClient client_;
  LaneEnd end_;
  Status closed_;
  std::uint64_t fallbacks_ = 0;
  std::atomic<bool> has_ended_{false};
  std::unique_ptr<LaneThread> thread_;
};

/// Waits until the condition holds; false after `patience`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds patience = std::chrono::seconds(20));

}  // namespace nbdring
