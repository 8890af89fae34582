#include "backends/nbd/remote.hpp"

#include <algorithm>
#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr unsigned connect_failures_max = 3;  // of lanes, in a row: then one connection for all

}  // namespace

Remote::~Remote() { ENSURE(members_.empty()); }

void Remote::flushed(std::uint64_t covered) noexcept {
  auto& durable = file_->durable();
  std::uint64_t before = durable.load(std::memory_order_relaxed);
  while (before < covered && !durable.compare_exchange_weak(before, covered)) {
  }
}

Journal* Remote::join(Member& member) {
  const std::lock_guard guard(lock_);
  members_.push_back(&member);
  if (!keeps_journal_) return nullptr;
  recycle_journals();
  if (free_journals_.empty()) {
    journals_.push_back(file_->add());
    free_journals_.push_back(journals_.back().get());
  }
  Journal* const journal = free_journals_.back();
  free_journals_.pop_back();
  return journal;
}

void Remote::leave(Member& member, Journal* journal) {
  const std::lock_guard guard(lock_);
  ENSURE(member.state_ == Member::State::away);
  std::erase(members_, &member);
  if (journal != nullptr) orphans_.push_back(journal);
  recycle_journals();
}

// Until the keeper has replayed, what is in the journals is its own.
void Remote::recycle_journals() {
  for (Journal* journal : std::exchange(orphans_, {})) {
    if (phase_ == Phase::serving) journal->prune(durable());
    (journal->empty() ? free_journals_ : orphans_).push_back(journal);
  }
}

bool Remote::has_orphans() {
  const std::lock_guard guard(lock_);
  recycle_journals();
  return !orphans_.empty();
}

std::optional<std::uint64_t> Remote::epoch() const {
  const std::lock_guard guard(lock_);
  if (phase_ != Phase::serving || abandoned_) return std::nullopt;
  return epoch_;
}

bool Remote::has_left(std::uint64_t epoch) const {
  const std::lock_guard guard(lock_);
  return epoch != epoch_ || phase_ == Phase::recovering;
}

void Remote::note_size(std::uint64_t bytes) {
  const std::lock_guard guard(lock_);
  if (bytes == std::exchange(told_size_, bytes) || bytes == identity_.size) return;
  log_.say(LogLevel::info,
           options_.endpoint + " has " + std::to_string(bytes) + " bytes now; of these " +
               std::to_string(identity_.size) + " are used until the device is resized",
           "");
}

bool Remote::connected(Member& member, std::uint64_t epoch) {
  const std::lock_guard guard(lock_);
  if (phase_ != Phase::serving || epoch != epoch_ || abandoned_) return false;
  member.state_ = Member::State::waiting;
  member.epoch_ = epoch;
  member.ticket_ = ++tickets_;
  reconsider();
  return true;
}

void Remote::cannot_connect(Member& member, std::uint64_t epoch, const std::string& reason,
                            bool is_other_disk) {
  const std::lock_guard guard(lock_);
  ENSURE(member.state_ == Member::State::away);
  if (phase_ != Phase::serving || epoch != epoch_) return;
  const bool is_too_often = !is_other_disk && ++connect_failures_ >= connect_failures_max;
  if (has_serving() && !is_other_disk && !is_too_often) return;
  // Others, or the keeper, have their connections and this one gets none: the server may allow no
  // more than there are.
  if (is_too_often && !single_) {
    single_ = true;
    log_.say(LogLevel::warning, "all lanes share one connection: the server takes no more", reason);
  }
  suspend(reason);
}

Remote::Standing Remote::standing(const Member& member) const {
  const std::lock_guard guard(lock_);
  Standing standing;
  standing.serves = is_current(member) && member.state_ == Member::State::serving;
  standing.is_over = !is_current(member);
  standing.proves = standing.serves && prover_ == &member;
  standing.abandoned = abandoned_;
  return standing;
}

std::uint64_t Remote::proof_begins() {
  const std::lock_guard guard(lock_);
  return tickets_;
}

void Remote::proof_ended(Member& prover, std::uint64_t ticket, bool was_answered) {
  const std::lock_guard guard(lock_);
  if (prover_ == &prover) prover_ = nullptr;
  if (was_answered) {
    for (Member* member : members_) {
      const bool waits = is_current(*member) && member->state_ == Member::State::waiting;
      if (waits && member->ticket_ <= ticket) admit(*member);
    }
  }
  reconsider();
}

void Remote::admit(Member& member) {
  if (!has_serving() && keeper_ != nullptr) keeper_->wake();
  connect_failures_ = 0;
  member.state_ = Member::State::serving;
  member.wake();
}

// Who waits is admitted as the epoch's first, or another one is asked for a proof.
void Remote::reconsider() {
  if (phase_ != Phase::serving || prover_ != nullptr) return;
  const auto first_in = [this](Member::State state) -> Member* {
    const auto found =
        std::find_if(members_.begin(), members_.end(), [this, state](const Member* member) {
          return is_current(*member) && member->state_ == state;
        });
    return found == members_.end() ? nullptr : *found;
  };
  while (Member* const waiting = first_in(Member::State::waiting)) {
    Member* const older = first_in(Member::State::serving);
    if (keeps_journal_ && older != nullptr) {
      prover_ = older;
      return older->wake();
    }
    // Nobody serves: who did has flushed before it left, unless the server refused to.
    if (keeps_journal_ && acknowledged() != durable()) {
      return suspend("the last connection ended without a successful flush");
    }
    admit(*waiting);
  }
}

void Remote::lost(Member& member, const Loss& loss) {
  const std::lock_guard guard(lock_);
  if (!is_current(member) || member.state_ != Member::State::serving) return;
  if (loss.had_answers) misled_ = 0;
  if (loss.was_misled) ++misled_;
  suspend(loss.reason);
}

void Remote::suspend(const std::string& reason) {
  ENSURE(phase_ == Phase::serving);
  phase_ = Phase::suspending;
  lost_at_ = state_since_ = Clock::now();
  prover_ = nullptr;
  counts_.last_reason = reason;
  for (Member* member : members_) {
    const bool served = member->state_ == Member::State::serving;
    member->state_ = served ? Member::State::ending : Member::State::away;
  }
  log_.say(LogLevel::warning, "lost " + options_.endpoint + ": requests wait for it", reason);
  wake_all();
  check_suspended();
}

void Remote::check_suspended() {
  if (phase_ != Phase::suspending) return;
  const bool anyone = std::any_of(members_.begin(), members_.end(), [](const Member* member) {
    return member->state_ == Member::State::ending;
  });
  if (anyone) return;
  phase_ = Phase::recovering;
  wake_all();
}

void Remote::retire(Member& member) {
  const std::lock_guard guard(lock_);
  if (prover_ == &member) prover_ = nullptr;
  if (phase_ == Phase::serving) member.state_ = Member::State::away;
}

void Remote::ended(Member& member, Connection::Fence fence, bool had_changes) {
  const std::lock_guard guard(lock_);
  if (fence == Connection::Fence::unknown && had_changes) expect_ghosts();
  member.state_ = Member::State::away;
  check_suspended();
  reconsider();
}

void Remote::wake_all() {
  for (Member* member : members_) member->wake();
  if (keeper_ != nullptr) keeper_->wake();
}

bool Remote::has_serving() const {
  return std::any_of(members_.begin(), members_.end(), [this](const Member* member) {
    return is_current(*member) && member->state_ == Member::State::serving;
  });
}

void Remote::abandon() noexcept {
  const std::lock_guard guard(lock_);
  if (std::exchange(abandoned_, true)) return;
  refusing_.store(true, std::memory_order_release);
  wake_all();
}

}  // namespace nbdring
