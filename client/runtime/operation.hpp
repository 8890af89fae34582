#pragma once
// One thing that the kernel was asked to do, as an awaiter: it lives in the frame of the coroutine
// that awaits it, and its address is what the ring's completion carries. So an operation costs no
// allocation and no table.
//
// Made by the functions of Loop (loop.read(...)), awaited at once, never copied or moved. The
// result is what the system call would return: a count, or a negative errno.

#include <coroutine>
#include <cstdint>

struct msghdr;

namespace nbdring {

class Loop;

class Operation {
 public:
  enum class Kind : std::uint8_t { read, write, fsync, fallocate, accept, poll, ended };

  /// What the kind needs; the rest stays 0. loop.cpp turns it into a submission entry in one
  /// switch.
  struct Arguments {
    int fd = -1;
    void* address = nullptr;
    std::uint32_t length = 0;
    std::uint64_t offset = 0;  // bytes; fallocate: where
    std::uint64_t extent = 0;  // bytes; fallocate: how much
    std::uint32_t flags = 0;   // RWF_*, fsync flags, fallocate mode, accept flags or poll events
  };

  Operation(Loop& loop, Kind kind, const Arguments& arguments)
      : loop_(loop), arguments_(arguments), kind_(kind) {}
  /// One that has ended already: of a stream that holds bytes itself.
  Operation(Loop& loop, int result) : loop_(loop), result_(result), kind_(Kind::ended) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool await_ready() const noexcept { return kind_ == Kind::ended; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept;
  int await_resume() const noexcept { return result_; }

 private:
  friend class Loop;

  Loop& loop_;
  Arguments arguments_;
  std::coroutine_handle<> waiter_;
  Operation* next_ = nullptr;  // in one of the loop's lists
  std::int32_t result_ = 0;
  Kind kind_;
};

}  // namespace nbdring
