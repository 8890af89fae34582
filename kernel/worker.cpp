#include "kernel/worker.hpp"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

enum class Progress { waiting, running, ended, abandoned };

struct Job {
  std::function<void()> function;
  Progress progress = Progress::waiting;
};

/// A thread inherits the mask of the one that makes it.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ENSURE(pthread_sigmask(SIG_SETMASK, &all, &before_) == 0);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

struct Worker::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Job>> jobs;
  bool busy = false;     // a job is running
  bool closing = false;  // no more jobs will come
  std::thread thread;

  void serve() noexcept {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return closing || !jobs.empty(); });
      if (jobs.empty()) return;
      const std::shared_ptr<Job> job = std::move(jobs.front());
      jobs.pop_front();
      if (job->progress == Progress::abandoned) continue;
      job->progress = Progress::running;
      busy = true;
      lock.unlock();
      job->function();
      job->function =
          nullptr;  // what the call owns goes with it, not with the caller's last look at the job
      lock.lock();
      busy = false;
      job->progress = Progress::ended;
      changed.notify_all();
    }
  }
};

Worker::Worker() : state_(std::make_shared<State>()) {
  const AllSignalsBlocked blocked;
  state_->thread = std::thread([state = state_] { state->serve(); });
}

Worker::~Worker() {
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  state_->changed.notify_all();
  const bool stuck = state_->busy;
  lock.unlock();
  if (stuck) {
    state_->thread.detach();
  } else {
    state_->thread.join();
  }
}

bool Worker::run(std::function<void()> job_function, Deadline deadline) {
  const auto job = std::make_shared<Job>();
  job->function = std::move(job_function);
  std::unique_lock lock(state_->mutex);
  ENSURE(!state_->closing);
  state_->jobs.push_back(job);
  state_->changed.notify_all();
  const auto has_ended = [&job] { return job->progress == Progress::ended; };
  if (state_->changed.wait_until(lock, deadline.moment(), has_ended)) return true;
  if (job->progress == Progress::waiting) job->progress = Progress::abandoned;
  return false;
}

}  // namespace nbdring
