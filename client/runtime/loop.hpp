#pragma once
// The event loop: one io_uring, one thread. The only user of liburing.
//
// How it works. A turn has four parts. (1) The turn-end hooks run: what the tasks gathered
// (replies) goes out in one system call. (2) The loop waits. (3) All completions are collected, and
// only then (4) their coroutines are resumed, so that resuming never happens inside the ring's own
// iteration and the stack stays flat.
//
// Two ways to wait. While an operation is in flight in the ring, the loop waits in the ring, with
// the sockets' readiness armed there too. While only sockets are waited for, it waits in poll(2):
// in the ring a wait costs a poll arm, a wake, task work and a retry, which shows in the latency at
// depth 1. Who awaits readable() cannot tell the difference.
//
// Rings are created with SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1): no completion interrupts the
// thread, all of them run when it asks. So a Loop is made, run and destroyed by one thread. Only
// post() may be called by others.

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "client/runtime/file_descriptor.hpp"
#include "client/runtime/frame_pool.hpp"
#include "client/runtime/lookout.hpp"
#include "client/runtime/operation.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

/// What one thread tells another's loop. The sender keeps it alive until deliver() ran on the
/// loop's thread.
class Message {
 public:
  virtual ~Message() = default;
  virtual void deliver() noexcept = 0;

 private:
  friend class Loop;
  Message* next_ = nullptr;
};

/// What runs at the end of each turn, before the loop waits. Removes itself when destroyed.
class TurnEnd {
 public:
  explicit TurnEnd(Loop& loop);
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;
  virtual ~TurnEnd();
  virtual void turn_ended() noexcept = 0;

 protected:
  /// There is something to do at this turn's end: for work that another hook may bring, which runs
  /// later than this one.
  void has_work() noexcept;

 private:
  Loop& loop_;
};

struct LoopOptions {
  unsigned entries = 256;  // of the submission queue; more are submitted in several calls
  std::size_t frame_slab = 256 * 1024;  // bytes for coroutine frames
};

class Loop {
 public:
  /// Throws Failure (cannot_attach) where this kernel or its policy has no usable io_uring, saying
  /// which part.
  explicit Loop(const LoopOptions& options = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  FramePool& frames() { return frames_; }

  /// Runs until the task has ended; rethrows what it threw.
  void run(Task<void> main);

  /// Any thread. The message is delivered on the loop's thread, in the order of posting.
  void post(Message& message) noexcept;
  /// The loop's thread, after post() has returned: what has not been delivered will not be, and its
  /// owner may go.
  void withdraw(Message& message) noexcept;

  // Operations of the ring. Buffers and descriptors stay alive until the operation ends. Results:
  // count or -errno.
  Operation read(int fd, std::span<std::byte> buffer, std::uint64_t offset, int rwf = 0);
  Operation write(int fd, std::span<const std::byte> buffer, std::uint64_t offset, int rwf = 0);
  Operation fdatasync(int fd);
  Operation fallocate(int fd, int mode, std::uint64_t offset, std::uint64_t length);
  Operation accept(int listener);

  // Readiness of a socket or pipe; result: the poll events, or -ECANCELED.
  Operation readable(int fd);
  Operation writable(int fd);
  /// The peer, or whoever else has the socket, has shut it down. What arrives on it wakes nobody.
  Operation hung_up(int fd);

  Sleep sleep(Clock::duration duration) { return Sleep(*this, duration); }

  /// What this turn waits for is expected to come soon, and alone.
  void expect_soon() noexcept { expects_soon_ = true; }

  /// Every timer that is armed is due now: for an owner that cannot wait for deadlines any more.
  void hurry() noexcept;

  /// Ends every wait and cancellable operation on the descriptor with -ECANCELED.
  void cancel(int fd) noexcept;

 private:
  friend class Operation;
  friend class Timer;
  friend class TurnEnd;

  struct Ring;  // hides liburing from everybody else
  struct List {
    Operation* head = nullptr;
    Operation* tail = nullptr;
    void push(Operation& operation);
    Operation* pop();
    bool empty() const { return head == nullptr; }
  };

  void start(Operation& operation) noexcept;
  void submit(Operation& operation) noexcept;
  void turn();
  void wait_in_poll();
  int poll_or_look();
  int look();
  void wait_in_ring();
  void collect();
  void resume_completed();
  void expire_timers();
  void deliver_messages() noexcept;
  void take_messages() noexcept;
  int milliseconds_to_next_timer() const;
  void arm(Timer& timer);
  void disarm(Timer& timer);

  FramePool frames_;
  std::unique_ptr<Ring> ring_;
  FileDescriptor wake_;                   // eventfd: post() writes, the loop reads
  std::atomic<Message*> inbox_{nullptr};  // newest first
  std::atomic<unsigned> posting_{0};      // threads within post()
  Message* undelivered_ = nullptr;        // taken out of the inbox; oldest first
  std::uint64_t in_flight_ = 0;           // in the ring, readiness waits not counted
  std::uint64_t armed_ = 0;               // readiness waits that are in the ring
  bool wake_armed_ = false;               // the eventfd's own wait is in the ring
  bool woken_ = false;                    // the eventfd has been written
  List readiness_;                        // waits that are not in the ring (yet)
  List completed_;                        // results are there, to be resumed
  std::vector<TurnEnd*> turn_ends_;
  bool has_turn_end_work_ = false;  // that came while the hooks ran
  std::vector<pollfd> poll_sets_;   // wait_in_poll()'s
  Lookout lookout_;
  bool expects_soon_ = false;  // in this turn
  Timer* first_timer_ = nullptr;
};

}  // namespace nbdring
