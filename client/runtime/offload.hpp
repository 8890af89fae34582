#pragma once
// Threads for what a loop must not wait for: file systems, key derivation. A task hands over a job
// and waits for it, but not beyond its deadline; the loop goes on meanwhile.
//
// A job that is not back in time is left behind and still runs to its end: it owns what it uses.
// Jobs that have not begun when the Offload goes never run.

#include <functional>
#include <memory>

#include "client/runtime/loop.hpp"
#include "client/runtime/task.hpp"
#include "client/runtime/timer.hpp"

namespace nbdring {

class Offload {
 public:
  struct Options {
    unsigned threads = 2;
    std::size_t jobs_max = 256;  // that wait for a thread
  };

  explicit Offload(const Options& options);
  /// Waits for the jobs that run.
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// True: it has run. False: not by then, or there are too many. The job does not throw.
  Task<bool> run(Loop& loop, std::function<void()> job, Clock::duration within);

  /// Runs it some time, and nobody waits. False: there are too many. Any thread.
  bool start(std::function<void()> job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nbdring
