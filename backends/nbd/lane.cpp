// The life of a lane's connection.

#include "backends/nbd/lane.hpp"

#include <algorithm>
#include <utility>

#include "backends/nbd/remote_identity.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

NbdLane::NbdLane(Loop& loop, const ConnectionSource& source, Remote& remote,
                 const RemoteOptions& options, std::unique_ptr<Link>* spare)
    : loop_(loop),
      source_(source),
      remote_(remote),
      options_(options),
      spare_(spare),
      tasks_(loop.frames()) {}

NbdLane::~NbdLane() { ENSURE(!has_started_ && users_ == 0); }

void NbdLane::wake() noexcept {
  if (!wake_posted_.exchange(true, std::memory_order_acq_rel)) loop_.post(wake_);
}

void NbdLane::woken() noexcept {
  wake_posted_.store(false, std::memory_order_release);
  const bool refuses = remote_.refuses();
  if (refuses && is_connecting_ && remote_.standing(*this).abandoned) loop_.hurry();
  if (refuses || has_given_up_) parked_.resume_all();
  attention_.raise();
}

void NbdLane::start() {
  if (std::exchange(has_started_, true)) return;
  journal_ = remote_.join(*this);
  tasks_.spawn(tend());
}

Task<Status> NbdLane::close() {
  // What one that was given up has left behind is this one's to flush.
  const bool has_inherited = !is_given_up_ && remote_.has_orphans();
  if (!has_started_ && !has_inherited) co_return Status::ok();
  Status status;
  if (hand_over_) {
    status = co_await hand_over_->close();
  } else if (is_given_up_) {
    // Where the server is away its journal stays for the keeper.
    if (has_changed_) {
      co_await flush_in_background();
    }
  } else if (has_inherited || (has_changed_ && !(is_open_ && journal_->empty()))) {
    status = co_await flush();
  }
  is_leaving_ = true;
  attention_.raise();
  co_await tasks_.join();
  hand_over_.reset();
  remote_.leave(*this, journal_);
  // A last word of the remote may be on its way.
  while (wake_posted_.load(std::memory_order_acquire)) {
    co_await loop_.sleep(std::chrono::milliseconds(1));
  }
  has_started_ = false;
  co_return status;
}

void NbdLane::give_up() noexcept {
  is_given_up_ = true;
  if (hand_over_) hand_over_->give_up();
  look_again();
}

void NbdLane::look_again() noexcept {
  has_given_up_ = true;
  if (has_started_) tasks_.spawn(resume_waiting());
}

Task<void> NbdLane::tend() {
  co_await loop_.sleep(Clock::duration::zero());  // off the stack of whoever asked for something
  while (!is_leaving_) {
    attention_.lower();
    const auto epoch = remote_.epoch();
    if (!epoch) {
      co_await attention_.wait();
      continue;
    }
    if (Carrier* const carrier = remote_.carrier(); carrier != nullptr && !is_keepers()) {
      hand_over_ = std::make_unique<HandOver>(loop_, *carrier);
      is_open_ = true;
      parked_.resume_all();
      co_return;
    }
    Refused refused;
    auto link = co_await connect(refused);
    if (link) {
      failures_ = 0;
      co_await live(*epoch, std::move(link));
    } else {
      ++failures_;
      remote_.cannot_connect(*this, *epoch, refused.reason, refused.is_other_disk);
      co_await pause();
    }
  }
}

Task<std::unique_ptr<Link>> NbdLane::connect(Refused& refused) {
  std::unique_ptr<Link> link;
  if (is_keepers() && *spare_ != nullptr) {
    link = std::move(*spare_);
    co_return link;
  }
  is_connecting_ = true;
  try {
    auto dialled = co_await source_.dial(loop_);
    refused.reason = difference(remote_.identity(), dialled.about);
    refused.is_other_disk = !refused.reason.empty();
    if (!refused.is_other_disk) {  // else its connection closes
      remote_.note_size(dialled.about.size);
      ConnectionHold hold = remote_.hold(*dialled.socket);
      link = make_link(loop_, std::move(dialled), options_.connection, std::move(hold));
    }
  } catch (const std::exception& error) {
    refused.reason = error.what();
  }
  is_connecting_ = false;
  co_return link;
}

// From a fresh connection to its end.
Task<void> NbdLane::live(std::uint64_t epoch, std::unique_ptr<Link> link) {
  lost_changes_ = 0;
  answers_ = 0;
  was_admitted_ = false;
  link_ = link.get();
  epoch_ = epoch;
  Connection& connection = link->connection;
  Scope tasks(frames());
  if (remote_.connected(*this, epoch)) {
    co_await stay(*link, tasks);
    close_gate();
    if (connection.is_lost()) {
      const Remote::Loss loss{connection.lost_reason(), connection.was_misled(), answers_ > 0};
      remote_.lost(*this, loss);
    } else if (is_leaving_) {
      remote_.retire(*this);
    }
  }
  const bool never_served = connection.is_lost() && !was_admitted_;
  const auto deadline =
      remote_.standing(*this).abandoned ? std::chrono::milliseconds(0) : options_.end_deadline;
  const auto fence = co_await connection.end(deadline);
  co_await tasks.join();
  co_await wait_unused();
  const std::string reason = connection.lost_reason();
  link_ = nullptr;
  const ConnectionHold hold = std::move(link->hold);  // until the remote knows of ghosts
  link.reset();
  remote_.ended(*this, fence, lost_changes_ > 0);
  if (never_served) {
    // The server takes connections and drops them: in no hurry to try again.
    ++failures_;
    remote_.cannot_connect(*this, epoch, reason, false);
    co_await pause();
  }
}

// Until the connection is lost, the epoch is over or the lane leaves.
Task<void> NbdLane::stay(Link& link, Scope& tasks) {
  tasks.spawn(watch(link.connection));
  for (;;) {
    attention_.lower();
    const Remote::Standing standing = remote_.standing(*this);
    if (is_leaving_ || standing.is_over || link.connection.is_lost()) co_return;
    if (standing.abandoned) co_return;
    if (standing.proves && !std::exchange(is_proving_, true)) tasks.spawn(prove(link));
    if (standing.serves && !is_open_) {
      is_open_ = was_admitted_ = true;
      parked_.resume_all();
    }
    co_await attention_.wait();
  }
}

Task<void> NbdLane::watch(Connection& connection) {
  co_await connection.wait_lost();
  close_gate();
  attention_.raise();
}

// Shows that this connection's server process is alive after others have connected.
Task<void> NbdLane::prove(Link& link) {
  begin_use();
  const std::uint64_t ticket = remote_.proof_begins();
  const std::uint64_t covered = remote_.acknowledged();
  const Answer answer = co_await link.shape.flush();
  if (!answer.is_lost && answer.status.is_ok()) flushed(covered);
  if (!answer.is_lost && !answer.status.is_ok()) remote_.note_flush_error();
  is_proving_ = false;
  remote_.proof_ended(*this, ticket, !answer.is_lost);
  end_use();
}

Task<void> NbdLane::wait_unused() {
  while (users_ > 0) {
    unused_.lower();
    co_await unused_.wait();
  }
  co_await loop_.sleep(Clock::duration::zero());  // off the stack of the last one's answer
}

// Until the next attempt to connect, unless something happens before.
Task<void> NbdLane::pause() {
  const auto grown = options_.backoff_first * (1U << std::min(failures_, 6U));
  attention_.lower();
  const Alarm alarm(loop_, std::min(grown, options_.backoff_max), attention_);
  co_await attention_.wait();
}

}  // namespace nbdring
