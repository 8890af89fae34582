#pragma once
// A stream without a socket: two queues of bytes in memory, whose every cut is decided by the
// test. What the client sent is in transit until deliver() lets it arrive; a receive may get a
// part of what is there, or be told to try again; a send may take a part.
//
// Deterministic: readiness is an eventfd that is readable exactly while receive() or send() has
// something to do, so the loop that waits for it wakes up in the same turn in every run.
//
// One thread, the loop's. The lane's end is the Stream; the rest is for the test.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "client/transport/stream.hpp"
#include "tests/support/random.hpp"

namespace nbdring {

/// An eventfd as a flag that a loop can wait for.
class ReadinessFlag {
 public:
  ReadinessFlag();
  void set(bool ready);
  Operation wait(Loop& loop);
  /// Who waits on this loop, waits no longer.
  void stop_waiting(Loop& loop) noexcept;

 private:
  FileDescriptor event_;
  bool ready_ = false;
};

struct SimulatedStreamOptions {
  std::size_t window_bytes = 64 * 1024;  // what send() takes before the client reads
  std::size_t piece_bytes = 0;           // longest receive or send; 0: any
  unsigned again_percent = 0;            // how often a call says EAGAIN or EINTR for no reason
  bool receives_all = false;             // receive() takes all that fits, as a Unix socket's does
};

class SimulatedStream final : public Stream {
 public:
  SimulatedStream(Loop& loop, Random& random, const SimulatedStreamOptions& options);

  ssize_t receive(std::span<iovec> buffers) noexcept override;
  ssize_t send(std::span<iovec> buffers) noexcept override;
  Operation readable() override { return readable_.wait(*loop_); }
  Operation writable() override { return writable_.wait(*loop_); }
  void shut_down() noexcept override;
  void move_to(Loop& loop) noexcept override { loop_ = &loop; }
  void stop_waiting() noexcept override;
  bool peer_has_ended() const noexcept override { return closed_ || reset_; }

  // The client's end.
  void client_sends(std::span<const std::byte> bytes);
  /// Lets up to so many bytes arrive; returns how many did.
  std::size_t deliver(std::size_t bytes);
  std::size_t in_transit() const { return transit_.size(); }
  /// Takes up to so many bytes of what the lane sent.
  std::vector<std::byte> client_takes(std::size_t bytes);
  std::size_t unread() const { return sent_.size(); }
  /// The client's last byte is in transit or has arrived; it still reads.
  void client_closes();
  /// It shuts both ways down: what has arrived can be received, and no reply is taken any more.
  void client_shuts_down();
  /// The lane does not come to read what has arrived, not even the end.
  void keep_from_reading(bool kept);
  bool is_kept_from_reading() const { return kept_from_reading_; }
  /// Everything is gone, both ways.
  void client_resets();

 private:
  ssize_t interruption();
  std::size_t piece(std::size_t bytes);
  void update();

  Loop* loop_;
  Random& random_;
  SimulatedStreamOptions options_;
  std::deque<std::byte> transit_;  // client to lane, not there yet
  std::deque<std::byte> arrived_;
  std::deque<std::byte> sent_;  // lane to client
  bool closed_ = false;         // by the client
  bool reset_ = false;
  bool takes_no_reply_ = false;
  bool kept_from_reading_ = false;
  bool shut_down_ = false;  // by the lane
  ReadinessFlag readable_;
  ReadinessFlag writable_;
};

}  // namespace nbdring
