#pragma once
// A thread for system calls that may never return: netlink while somebody holds the kernel's
// genl_mutex, the first open of a device whose partition scan needs answers. The caller waits until
// its deadline and no longer.
//
// Calls run one after the other, in the order of calling. A call that is not back in time is stuck:
// its thread is left behind with everything that it uses (the call owns it by value or shared_ptr),
// and ends itself should the call return. Used by one thread at a time. The calls block all
// signals: those belong to the front end.

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "kernel/deadline.hpp"

namespace nbdring {

class Worker {
 public:
  Worker();
  ~Worker();  // joins; a stuck thread is left behind
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// What the call returned, or nothing when it has not ended by the deadline. A call that waited
  /// behind a stuck one and has not begun by its deadline never runs. The call must not throw.
  template <class Result>
  std::optional<Result> call(std::function<Result()> function, Deadline deadline) {
    const auto result = std::make_shared<std::optional<Result>>();
    const bool ended =
        run([result, function = std::move(function)] { result->emplace(function()); }, deadline);
    return ended ? std::move(*result) : std::nullopt;
  }

 private:
  struct State;

  bool run(std::function<void()> job, Deadline deadline);

  std::shared_ptr<State> state_;
};

}  // namespace nbdring
