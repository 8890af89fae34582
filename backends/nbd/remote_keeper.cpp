// The keeper's side of what the members know together, and what is told of it.

#include <algorithm>

#include "backends/nbd/remote.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

void Remote::set_identity(const Export& about, const TlsReport& tls) {
  identity_ = about;
  keeps_journal_ = about.has(nbd::flag_send_flush) && !about.is_read_only() && !options_.read_only;
  const std::lock_guard guard(lock_);
  counts_.endpoint = options_.endpoint;
  if (!tls.version.empty()) counts_.tls = tls.version + " " + tls.cipher;
}

Remote::Work Remote::work() const {
  const std::lock_guard guard(lock_);
  Work work;
  work.recover = phase_ == Phase::recovering && !abandoned_;
  work.has_server = has_serving();
  work.single = single_;
  work.abandoned = abandoned_;
  work.is_lost = phase_ != Phase::serving;
  work.lost_at = lost_at_;
  return work;
}

void Remote::set_single() {
  const std::lock_guard guard(lock_);
  single_ = true;
}

Clock::time_point Remote::fence() const {
  const std::lock_guard guard(lock_);
  return fence_;
}

void Remote::note_end(Connection::Fence fence, bool had_changes) {
  if (fence == Connection::Fence::closed || !had_changes) return;
  const std::lock_guard guard(lock_);
  fence_ = std::max(fence_, Clock::now() + options_.fence_delay);
}

std::vector<const Journal*> Remote::journals() const {
  const std::lock_guard guard(lock_);
  std::vector<const Journal*> all;
  for (const auto& journal : journals_) {
    if (!journal->empty()) all.push_back(journal.get());
  }
  return all;
}

void Remote::replayed(std::uint64_t writes, std::uint64_t bytes) {
  const std::lock_guard guard(lock_);
  ENSURE(phase_ == Phase::recovering);
  flushed(acknowledged());
  for (const auto& journal : journals_) journal->prune(durable());
  counts_.replayed_writes += writes;
  counts_.replayed_bytes += bytes;
}

void Remote::recovered() {
  const std::lock_guard guard(lock_);
  ENSURE(phase_ == Phase::recovering && acknowledged() == durable());
  const auto stall = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - lost_at_);
  counts_.longest_stall = std::max(counts_.longest_stall, stall);
  ++counts_.reconnects;
  phase_ = Phase::serving;
  ++epoch_;
  state_since_ = Clock::now();
  if (!abandoned_) refusing_.store(false, std::memory_order_release);
  recycle_journals();
  wake_all();
}

void Remote::refuse(const std::string& reason) {
  const std::lock_guard guard(lock_);
  ENSURE(phase_ != Phase::serving);
  if (refusing_.exchange(true)) return;
  state_since_ = Clock::now();
  counts_.last_reason = reason;
  log_.say(LogLevel::error, "requests to " + options_.endpoint + " fail from now on", reason);
  wake_all();
}

bool Remote::was_misled_too_often() const {
  const std::lock_guard guard(lock_);
  return misled_ >= options_.misled_max;
}

BackendHealth Remote::health() const {
  const std::lock_guard guard(lock_);
  BackendHealth health = counts_;
  const bool recovering = phase_ != Phase::serving;
  health.state = refuses() ? "failed" : recovering ? "recovering" : "serving";
  const auto milliseconds = [](Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
  };
  const auto now = Clock::now();
  health.since = milliseconds(now - state_since_);
  if (recovering)
    health.longest_stall = std::max(health.longest_stall, milliseconds(now - lost_at_));
  for (const auto& journal : journals_) {
    health.volatile_writes += journal->entries();
    health.volatile_bytes += journal->payload_bytes();
  }
  if (abandoned_) health.lost_writes = health.volatile_writes;
  return health;
}

}  // namespace nbdring
