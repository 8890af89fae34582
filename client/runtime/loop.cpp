#include "client/runtime/loop.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "client/runtime/error.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {
namespace {

// The eventfd and one per waited-for socket. A lane waits for one or two, so its loop never has to
// grow this; the front end's may have many listeners.
constexpr std::size_t poll_sets_reserved = 64;

// user_data of completions that nobody awaits.
constexpr std::uint64_t ignored = 0;
constexpr std::uint64_t wake_up = 1;

[[noreturn]] void explain_missing_ring(int error) {
  std::string why = "io_uring cannot be used here: " + error_text(error);
  if (error == ENOSYS) why += "; this kernel has no io_uring, Linux 6.1 or newer is needed";
  if (error == EPERM) {
    why +=
        "; it is switched off: see `sysctl kernel.io_uring_disabled` (0 allows it) or the seccomp "
        "filter "
        "of this container";
  }
  if (error == EINVAL) {
    why +=
        "; this kernel has no SINGLE_ISSUER and DEFER_TASKRUN rings, Linux 6.1 or newer is needed";
  }
  if (error == ENOMEM) why += "; raise the limit on locked memory (ulimit -l)";
  throw Failure(FailureKind::cannot_attach, why);
}

}  // namespace

struct Loop::Ring {
  explicit Ring(unsigned entries) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
    const int result = io_uring_queue_init_params(entries, &ring, &parameters);
    if (result < 0) explain_missing_ring(-result);
    // Saves a table look-up per system call; a kernel that refuses it works all the same.
    io_uring_register_ring_fd(&ring);
  }
  ~Ring() { io_uring_queue_exit(&ring); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// A free submission entry, submitting what is there when the queue is full.
  io_uring_sqe& entry() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (sqe == nullptr) {
      const int submitted = io_uring_submit(&ring);
      ENSURE(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY);
      sqe = io_uring_get_sqe(&ring);
    }
    return *sqe;
  }

  io_uring ring{};
};

void Operation::await_suspend(std::coroutine_handle<> waiter) noexcept {
  waiter_ = waiter;
  loop_.start(*this);
}

TurnEnd::TurnEnd(Loop& loop) : loop_(loop) { loop_.turn_ends_.push_back(this); }
TurnEnd::~TurnEnd() { std::erase(loop_.turn_ends_, this); }
void TurnEnd::has_work() noexcept { loop_.has_turn_end_work_ = true; }

void Loop::List::push(Operation& operation) {
  operation.next_ = nullptr;
  (head == nullptr ? head : tail->next_) = &operation;
  tail = &operation;
}

Operation* Loop::List::pop() {
  Operation* first = head;
  if (first != nullptr) head = first->next_;
  return first;
}

Loop::Loop(const LoopOptions& options)
    : frames_(options.frame_slab),
      ring_(std::make_unique<Ring>(options.entries)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_.is_open()) fail_errno(FailureKind::failed, "cannot create an eventfd");
  turn_ends_.reserve(8);
  poll_sets_.reserve(poll_sets_reserved);
}

Loop::~Loop() {
  // Who posted the last message may have been overtaken by it, and still has to write to the
  // eventfd.
  while (posting_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
  ENSURE(in_flight_ == 0 && readiness_.empty() && completed_.empty());
}

Operation Loop::read(int fd, std::span<std::byte> buffer, std::uint64_t offset, int rwf) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.address = buffer.data();
  arguments.length = static_cast<std::uint32_t>(buffer.size());
  arguments.offset = offset;
  arguments.flags = static_cast<std::uint32_t>(rwf);
  return Operation(*this, Operation::Kind::read, arguments);
}

Operation Loop::write(int fd, std::span<const std::byte> buffer, std::uint64_t offset, int rwf) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.address = const_cast<std::byte*>(buffer.data());
  arguments.length = static_cast<std::uint32_t>(buffer.size());
  arguments.offset = offset;
  arguments.flags = static_cast<std::uint32_t>(rwf);
  return Operation(*this, Operation::Kind::write, arguments);
}

Operation Loop::fdatasync(int fd) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.flags = IORING_FSYNC_DATASYNC;
  return Operation(*this, Operation::Kind::fsync, arguments);
}

Operation Loop::fallocate(int fd, int mode, std::uint64_t offset, std::uint64_t length) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.flags = static_cast<std::uint32_t>(mode);
  arguments.offset = offset;
  arguments.extent = length;
  return Operation(*this, Operation::Kind::fallocate, arguments);
}

Operation Loop::accept(int listener) {
  Operation::Arguments arguments;
  arguments.fd = listener;
  arguments.flags = SOCK_CLOEXEC;
  return Operation(*this, Operation::Kind::accept, arguments);
}

Operation Loop::readable(int fd) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.flags = POLLIN;
  return Operation(*this, Operation::Kind::poll, arguments);
}

Operation Loop::writable(int fd) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.flags = POLLOUT;
  return Operation(*this, Operation::Kind::poll, arguments);
}

Operation Loop::hung_up(int fd) {
  Operation::Arguments arguments;
  arguments.fd = fd;
  arguments.flags = POLLRDHUP;
  return Operation(*this, Operation::Kind::poll, arguments);
}

void Loop::start(Operation& operation) noexcept {
  if (operation.kind_ == Operation::Kind::poll) {
    readiness_.push(operation);  // the wait decides where
    return;
  }
  ++in_flight_;
  submit(operation);
}

void Loop::submit(Operation& operation) noexcept {
  io_uring_sqe* sqe = &ring_->entry();
  const Operation::Arguments& a = operation.arguments_;
  switch (operation.kind_) {
    case Operation::Kind::read:
      io_uring_prep_read(sqe, a.fd, a.address, a.length, a.offset);
      sqe->rw_flags = static_cast<int>(a.flags);
      break;
    case Operation::Kind::write:
      io_uring_prep_write(sqe, a.fd, a.address, a.length, a.offset);
      sqe->rw_flags = static_cast<int>(a.flags);
      break;
    case Operation::Kind::fsync:
      io_uring_prep_fsync(sqe, a.fd, a.flags);
      break;
    case Operation::Kind::fallocate:
      io_uring_prep_fallocate(sqe, a.fd, static_cast<int>(a.flags), static_cast<off_t>(a.offset),
                              static_cast<off_t>(a.extent));
      break;
    case Operation::Kind::accept:
      io_uring_prep_accept(sqe, a.fd, nullptr, nullptr, static_cast<int>(a.flags));
      break;
    case Operation::Kind::poll:
      io_uring_prep_poll_add(sqe, a.fd, a.flags);
      break;
    case Operation::Kind::ended:
      ENSURE(!"what has ended is never suspended on");
  }
  io_uring_sqe_set_data(sqe, &operation);
}

namespace {

struct Outcome {
  bool ended = false;
  std::exception_ptr failure;
};

Task<void> note_end(Loop&, Task<void>& main, Outcome& outcome) {
  try {
    co_await main;
  } catch (...) {
    outcome.failure = std::current_exception();
  }
  outcome.ended = true;
}

}  // namespace

void Loop::run(Task<void> main) {
  Outcome outcome;
  Scope scope(frames_);
  scope.spawn(note_end(*this, main, outcome));
  while (!outcome.ended) turn();
  if (outcome.failure) std::rethrow_exception(outcome.failure);
}

void Loop::turn() {
  do {
    has_turn_end_work_ = false;
    for (TurnEnd* hook : turn_ends_) hook->turn_ended();
  } while (has_turn_end_work_);
  if (completed_.empty()) {
    if (in_flight_ == 0 && armed_ == 0) {
      wait_in_poll();
    } else {
      wait_in_ring();
    }
  }
  expects_soon_ = false;
  collect();
  deliver_messages();
  expire_timers();
  resume_completed();
}

void Loop::wait_in_ring() {
  while (Operation* operation = readiness_.pop()) {
    ++armed_;
    submit(*operation);
  }
  if (!wake_armed_) {
    io_uring_sqe& sqe = ring_->entry();
    io_uring_prep_poll_add(&sqe, wake_.get(), POLLIN);
    sqe.user_data = wake_up;
    wake_armed_ = true;
  }
  const int milliseconds = milliseconds_to_next_timer();
  io_uring_cqe* first = nullptr;
  __kernel_timespec timeout{milliseconds / 1000, (milliseconds % 1000) * 1'000'000LL};
  const int result = io_uring_submit_and_wait_timeout(
      &ring_->ring, &first, 1, milliseconds < 0 ? nullptr : &timeout, nullptr);
  ENSURE(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
         result == -EBUSY);
}

// Phase one: take every completion out of the ring, resume nothing.
void Loop::collect() {
  // The eventfd's own wait may stay armed: poll(2) sees the eventfd too.
  if (in_flight_ == 0 && armed_ == 0) return;
  // With DEFER_TASKRUN nothing completes until the thread asks for events (liburing 2.3: no helper
  // submits as well).
  if (io_uring_sq_ready(&ring_->ring) > 0) io_uring_submit(&ring_->ring);
  if (io_uring_cq_ready(&ring_->ring) == 0) io_uring_get_events(&ring_->ring);
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_->ring, head, cqe) {
    ++count;
    if (cqe->user_data == ignored) continue;
    if (cqe->user_data == wake_up) {
      wake_armed_ = false;
      woken_ = true;
      continue;
    }
    auto& operation = *reinterpret_cast<Operation*>(cqe->user_data);
    operation.result_ = cqe->res;
    std::uint64_t& counter = operation.kind_ == Operation::Kind::poll ? armed_ : in_flight_;
    ENSURE(counter > 0);
    --counter;
    completed_.push(operation);
  }
  io_uring_cq_advance(&ring_->ring, count);
}

// Phase two. What a resumed coroutine completes at once waits for the next turn.
void Loop::resume_completed() {
  List batch = std::exchange(completed_, List());
  while (Operation* operation = batch.pop()) operation->waiter_.resume();
}

void Loop::cancel(int fd) noexcept {
  List waiting = std::exchange(readiness_, List());
  while (Operation* operation = waiting.pop()) {
    const bool hit = operation->arguments_.fd == fd;
    if (hit) operation->result_ = -ECANCELED;
    (hit ? completed_ : readiness_).push(*operation);
  }
  if (in_flight_ == 0 && armed_ == 0) return;
  io_uring_sqe& sqe = ring_->entry();
  io_uring_prep_cancel_fd(&sqe, fd, IORING_ASYNC_CANCEL_ALL);
  sqe.user_data = ignored;
}

void Loop::post(Message& message) noexcept {
  posting_.fetch_add(1, std::memory_order_relaxed);
  Message* newest = inbox_.load(std::memory_order_relaxed);
  do {
    message.next_ = newest;
  } while (!inbox_.compare_exchange_weak(newest, &message, std::memory_order_release,
                                         std::memory_order_relaxed));
  constexpr std::uint64_t one = 1;
  // EAGAIN means that the counter is full: the loop is being woken already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  posting_.fetch_sub(1, std::memory_order_release);
}

void Loop::deliver_messages() noexcept {
  if (!woken_) return;
  woken_ = false;
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = ::read(wake_.get(), &count, sizeof count);
  take_messages();
  while (undelivered_ != nullptr) {
    Message& oldest = *undelivered_;
    undelivered_ = oldest.next_;  // deliver() may free the message
    oldest.deliver();
  }
}

void Loop::take_messages() noexcept {
  Message* newest = inbox_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest = nullptr;
  while (newest != nullptr) {
    Message* next = newest->next_;
    newest->next_ = oldest;
    oldest = std::exchange(newest, next);
  }
  Message** end = &undelivered_;
  while (*end != nullptr) end = &(*end)->next_;
  *end = oldest;
}

// What stays is delivered all the same: whoever posted it has written, or will, to the eventfd.
void Loop::withdraw(Message& message) noexcept {
  take_messages();
  Message** at = &undelivered_;
  while (*at != nullptr && *at != &message) at = &(*at)->next_;
  if (*at != nullptr) *at = message.next_;
}

}  // namespace nbdring
