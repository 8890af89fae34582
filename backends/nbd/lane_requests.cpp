// What becomes of a lane's requests.

#include <cerrno>

#include "backends/nbd/lane.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {

Task<Status> NbdLane::serve(BackendRequest request, const bool& is_given_up) {
  const std::uint64_t ticket = ++tickets_;
  start();
  const std::size_t room = room_for(request);
  const bool has_entry = room > 0 && room <= journal_->capacity();
  Journal::Way way(request.is_change() ? journal_ : nullptr);
  std::uint64_t lost_in = 0;  // the epoch in which it was sent and lost; 0: it is not on its way
  for (;;) {
    while (!is_open_) {
      if (is_given_up && is_settled(lost_in)) co_return Status::from_errno(ECANCELED);
      if (remote_.refuses()) co_return Status::from_errno(EIO);
      co_await parked_.wait(ticket);
    }
    if (is_given_up) co_return Status::from_errno(ECANCELED);
    if (hand_over_) {
      co_return co_await perform(*hand_over_, request);
    }
    if (has_entry && (no_room_.has_older(ticket) || !journal_->reserve(room))) {
      if (!journal_->empty()) flush_soon();
      co_await no_room_.wait(ticket);
      if (!flush_status_.is_ok()) co_return flush_status_;
      continue;
    }
    begin_use();
    way.begin();
    const std::uint64_t covered = remote_.acknowledged();
    const Answer answer = co_await send(*link_, request, room > 0 && !has_entry);
    if (answer.is_lost) {
      if (has_entry) free_room(room);
      if (request.is_change()) {
        ++lost_changes_;
        lost_in = epoch_;
      }
      close_gate();
      end_use();
      continue;
    }
    ++answers_;
    if (has_entry) settle(request, room, answer.status);
    if (request.kind == BackendRequest::Kind::flush && answer.status.is_ok()) flushed(covered);
    end_use();
    const bool is_flush = request.kind == BackendRequest::Kind::flush;
    if (is_flush && remote_.take_flush_error()) co_return Status::from_errno(EIO);
    co_return answer.status;
  }
}

/// Nothing that is sent from now on can be overwritten by it.
bool NbdLane::is_settled(std::uint64_t lost_in) const {
  return lost_in == 0 || remote_.has_left(lost_in);
}

// Off the stack of whoever gave something up: each ends its request.
Task<void> NbdLane::resume_waiting() {
  co_await loop_.sleep(Clock::duration::zero());
  parked_.resume_all();
  no_room_.resume_all();
}

// flush_too: the change has no entry, so nobody may hear that it is done before it is durable. That
// flush covers what was acknowledged before, too, which an older entry's replay must not undo.
Task<Answer> NbdLane::send(Link& link, const BackendRequest& request, bool flush_too) {
  const Answer answer = co_await perform_over(link, request);
  if (!flush_too || answer.is_lost || !answer.status.is_ok()) co_return answer;
  const std::uint64_t covered = remote_.acknowledged();
  const Answer flush = co_await link.shape.flush();
  if (!flush.is_lost && flush.status.is_ok()) flushed(covered);
  co_return flush;
}

Task<Answer> NbdLane::perform_over(Link& link, const BackendRequest& request) {
  if (request.arrival == nullptr) return perform(link.shape, request);
  return link.shape.read(request.offset, request.destination, request.arrival);
}

std::size_t NbdLane::room_for(const BackendRequest& request) const {
  return journal_ != nullptr && request.is_change() ? Journal::bytes_for(request) : 0;
}

// A change has been answered.
void NbdLane::settle(const BackendRequest& request, std::size_t room, Status status) {
  const bool fua = request.fua || request.mode.fua;
  const bool is_durable = fua && remote_.acknowledged() == remote_.durable();
  if (!status.is_ok() || is_durable) return free_room(room);
  has_changed_ = true;
  journal_->append(remote_.acknowledge(), request);
  if (journal_->is_half_full() || !no_room_.empty()) flush_soon();
}

// What was reserved is not needed: who waits for room may have it.
void NbdLane::free_room(std::size_t room) {
  journal_->unreserve(room);
  if (!no_room_.empty()) flush_soon();
}

void NbdLane::flushed(std::uint64_t covered) {
  remote_.flushed(covered);
  if (journal_ == nullptr) return;
  flush_status_ = Status::ok();
  journal_->prune(remote_.durable());
  no_room_.resume_all();
}

void NbdLane::flush_soon() {
  if (std::exchange(is_flushing_, true)) return;
  tasks_.spawn(flush_in_background());
}

// While the gate is closed the journal is not ours to touch: the keeper may be at it.
Task<void> NbdLane::flush_in_background() {
  co_await loop_.sleep(Clock::duration::zero());  // whoever asked for it is waiting by then
  flush_status_ = Status::ok();
  if (is_open_) journal_->prune(remote_.durable());  // another lane may have flushed
  if (is_open_ && !journal_->empty()) {
    begin_use();
    const std::uint64_t covered = remote_.acknowledged();
    const Answer answer = co_await link_->shape.flush();
    if (answer.is_lost) {
      close_gate();
    } else if (answer.status.is_ok()) {
      flushed(covered);
    } else {
      flush_status_ = answer.status;
      remote_.note_flush_error();
    }
    end_use();
  }
  is_flushing_ = false;
  no_room_.resume_all();
}

void NbdLane::end_use() {
  ENSURE(users_ > 0);
  if (--users_ == 0 && !unused_.raised()) unused_.raise();
}

}  // namespace nbdring
