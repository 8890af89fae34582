#include "client/runtime/offload.hpp"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "client/runtime/error.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {
namespace {

class Waiter;

/// Between a job and who waits for it: either may go first.
struct Meeting {
  std::mutex lock;
  Waiter* waiter = nullptr;  // who is to be told; null: nobody waits any more
};

/// Lives in the frame of run().
class Waiter final : public Message, public Timer {
 public:
  Waiter(Loop& loop, Clock::duration within, Meeting& meeting)
      : Timer(loop, Clock::now() + within), meeting_(meeting), loop_(loop) {}

  Event over;
  bool is_done = false;

  /// The job's thread, under the meeting's lock.
  void tell() { loop_.post(*this); }

 private:
  void deliver() noexcept override {
    is_done = true;
    over.raise();
  }
  void expired() override {
    {
      const std::lock_guard guard(meeting_.lock);
      if (std::exchange(meeting_.waiter, nullptr) == nullptr) return;  // the message is on its way
    }
    over.raise();
  }

  Meeting& meeting_;
  Loop& loop_;
};

/// Signals belong to the front end: a thread inherits the mask of the one that makes it.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ENSURE(::pthread_sigmask(SIG_SETMASK, &all, &before_) == 0);
  }
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

struct Offload::State {
  explicit State(std::size_t most) : jobs_max(most) {}

  void serve() {
    std::unique_lock guard(lock);
    for (;;) {
      changed.wait(guard, [this] { return is_closing || !jobs.empty(); });
      if (is_closing) return;
      std::function<void()> job = std::move(jobs.front());
      jobs.pop_front();
      guard.unlock();
      job();
      job = nullptr;  // what it owns goes on this thread
      guard.lock();
    }
  }

  const std::size_t jobs_max;
  std::mutex lock;  // guards the three below
  std::condition_variable changed;
  std::deque<std::function<void()>> jobs;
  bool is_closing = false;
  std::vector<std::thread> threads;
};

Offload::Offload(const Options& options) : state_(std::make_unique<State>(options.jobs_max)) {
  ENSURE(options.threads > 0);
  const AllSignalsBlocked blocked;
  for (unsigned i = 0; i < options.threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->serve(); });
    ::pthread_setname_np(state_->threads.back().native_handle(), "nbdring-offload");
  }
}

Offload::~Offload() {
  {
    const std::lock_guard guard(state_->lock);
    state_->is_closing = true;
    state_->changed.notify_all();
  }
  for (std::thread& thread : state_->threads) thread.join();
}

bool Offload::start(std::function<void()> job) {
  const std::lock_guard guard(state_->lock);
  if (state_->is_closing || state_->jobs.size() >= state_->jobs_max) return false;
  state_->jobs.push_back(std::move(job));
  state_->changed.notify_one();
  return true;
}

Task<bool> Offload::run(Loop& loop, std::function<void()> job, Clock::duration within) {
  const auto meeting = std::make_shared<Meeting>();
  Waiter waiter(loop, within, *meeting);
  meeting->waiter = &waiter;
  const bool has_started = start([meeting, owned = std::move(job)] {
    owned();
    const std::lock_guard guard(meeting->lock);
    Waiter* const told = std::exchange(meeting->waiter, nullptr);
    if (told != nullptr) told->tell();
  });
  if (!has_started) co_return false;
  co_await waiter.over.wait();
  co_return waiter.is_done;
}

}  // namespace nbdring
