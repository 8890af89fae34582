#pragma once
// Task<T>: a coroutine that starts when it is awaited and resumes its awaiter when it ends.
//
// A task runs on one loop's thread. Its frame comes from that loop's FramePool, which the promise
// finds among the coroutine's own arguments (*this included): each coroutine is a member of, or
// takes, something with frames(). The owner of a Task owns the coroutine; destroying a task that
// has begun and not ended is a programmer's error.
//
// GCC 12 miscompiles several shapes of co_await without a word. tools/check_coroutines.py holds the
// four that are safe; tests/client/runtime/task_test.cpp runs them with a type that counts its
// copies.

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "client/runtime/error.hpp"
#include "client/runtime/frame_pool.hpp"

namespace nbdring {

namespace detail {

template <typename First, typename... Rest>
FramePool& pool_among(First& first, Rest&... rest) {
  if constexpr (HasFrames<First>) {
    return first.frames();
  } else {
    static_assert(sizeof...(Rest) > 0,
                  "a coroutine needs an argument (or *this) that has frames()");
    return pool_among(rest...);
  }
}

/// What every promise of ours has: frames from the pool.
struct PooledFrame {
  template <typename... Arguments>
  static void* operator new(std::size_t size, Arguments&&... arguments) {
    return pool_among(arguments...).allocate(size);
  }
  static void operator delete(void* frame) noexcept { FramePool::release(frame); }
};

/// Ends a task by passing the thread straight on to whoever awaited it.
struct ResumeContinuation {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    return ended.promise().continuation;
  }
  void await_resume() const noexcept {}
};

struct PromiseBase : PooledFrame {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::exception_ptr exception;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  ResumeContinuation final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception = std::current_exception(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;

  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    if (exception) std::rethrow_exception(exception);
    ENSURE(value.has_value());
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  void return_void() const noexcept {}
  void take() const {
    if (exception) std::rethrow_exception(exception);
  }
};

}  // namespace detail

template <typename T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::Promise<T> {
    Task get_return_object() noexcept {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
  };

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
      coroutine_.promise().continuation = awaiting;
      return coroutine_;
    }
    T await_resume() { return coroutine_.promise().take(); }

   private:
    std::coroutine_handle<promise_type> coroutine_;
  };
  Awaiter operator co_await() const noexcept { return Awaiter(coroutine_); }

 private:
  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace nbdring
