// The keeper's side of what the members know together, and what is told of it.

#include <algorithm>

#include "backends/nbd/remote.hpp"
#include "backends/nbd/remote_identity.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

void Remote::set_identity(const Export& about, const TlsReport& tls) {
  identity_ = about;
  keeps_journal_ = about.has(nbd::flag_send_flush) && !about.is_read_only() && !options_.read_only;
  const std::lock_guard guard(lock_);
  counts_.endpoint = options_.endpoint;
  if (!tls.version.empty()) counts_.tls = tls.version + " " + tls.cipher;
}

void Remote::open_journals() {
  const std::lock_guard guard(lock_);
  const unsigned members = single_ ? 1 : std::max(1U, options_.lanes);
  const std::size_t share = options_.journal_bytes / members;
  file_ = std::make_unique<JournalFile>(std::max(share, options_.journal_share_min),
                                        keeps_journal_ ? options_.keepsakes : nullptr);
  const bool is_written = !identity_.is_read_only() && !options_.read_only;
  if (is_written) adopt_journals();
  if (!fence_once_seen_) kept_.drop_former();
  file_->set_identity(identity_);
}

void Remote::adopt_journals() {
  bool has_ghosts = options_.after_crash && !file_->was_found();
  bool has_entries = false;
  fence_ = file_->fence();
  for (auto& journal : file_->take_found()) {
    has_ghosts = journal->take_lost_changes() || has_ghosts;
    journal->prune(durable());
    has_entries = has_entries || !journal->empty();
    orphans_.push_back(journal.get());
    journals_.push_back(std::move(journal));
  }
  if (has_ghosts && file_->all_were_held()) fence_once_seen_ = fence_;
  if (has_ghosts) expect_ghosts();
  if (!has_entries && fence_ <= Clock::now()) return;
  const std::string other = difference(file_->identity(), JournalFile::shortened(identity_));
  if (has_entries && !other.empty()) {
    throw Failure(FailureKind::refused,
                  "what a former engine was told is safe cannot be written "
                  "again: " +
                      other);
  }
  phase_ = Phase::recovering;
  lost_at_ = Clock::now();
  log_.say(LogLevel::info,
           "an engine of this device has died: requests wait until what it left is "
           "written again",
           "");
}

void Remote::take_former() {
  if (options_.after_crash) kept_.take_former();
}

bool Remote::awaits_former() const {
  const std::lock_guard guard(lock_);
  return fence_once_seen_.has_value();
}

void Remote::former_seen(bool has_ended) {
  const std::lock_guard guard(lock_);
  if (has_ended) file_->set_fence(fence_ = *fence_once_seen_);
  fence_once_seen_.reset();
  kept_.drop_former();
}

ConnectionHold Remote::hold(const Stream& socket) noexcept {
  if (!keeps_journal_) return {};
  ConnectionHold hold = kept_.hold(socket.descriptor());
  if (!hold.is_held()) file_->note_unheld();
  return hold;
}

// Until the fence, which a crash of ours must not hide, nothing is written.
void Remote::expect_ghosts() {
  fence_ = std::max(fence_, Clock::now() + options_.fence_delay);
  file_->note_fence(fence_);
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
  expect_ghosts();
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
