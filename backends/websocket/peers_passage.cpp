// The ways of connections: in from the listener, waiting, over to a lane.

#include <algorithm>
#include <utility>

#include "backends/websocket/peer_arrival.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::seconds goodbye_time{2};
// After answer_time the dead are known to their loops; until they have told us.
constexpr std::chrono::milliseconds told_by{500};

}  // namespace

Task<void> Peers::offer(Loop& loop, std::unique_ptr<WebsocketStream> stream, PeerInfo info) {
  const std::shared_ptr<Peers> self = shared_from_this();
  Arrival arrival(*this, loop, std::move(stream), std::move(info));
  if (enter(arrival)) {
    co_await arrival.stay();
    leave(arrival);
  }
  if (arrival.has_gone_over() || arrival.has_ended()) co_return;
  {
    const std::lock_guard guard(lock_);
    arrival.stream().set_close(close_code_, close_reason_);
  }
  co_await arrival.stream().close(Clock::now() + goodbye_time);
}

bool Peers::enter(Arrival& arrival) {
  const std::lock_guard guard(lock_);
  if (closed_ || (standing_.connections > 0 && is_single())) return false;
  note_arrival(arrival.info());
  ping_all();
  dismiss_waiting(options_.waiting_max - 1);
  waiting_.push_back(&arrival);
  match();
  tell();
  return true;
}

void Peers::leave(Arrival& arrival) {
  const std::lock_guard guard(lock_);
  waiting_.remove(&arrival);
  arrival.withdraw();
  Wait* const wait = arrival.take_claim();
  if (wait != nullptr && !arrival.has_ended() && !arrival.is_dismissed()) {
    arrival.give_to(*wait);
    return;
  }
  if (wait != nullptr && closed_) {
    wait->end();
  } else if (wait != nullptr && wait->wait_on()) {
    waits_.push_front(wait);
    match();
  }
  const bool was_eject = arrival.has_ended() && is_eject(arrival.stream().ending());
  connection_ended(was_eject);
}

void Peers::match() {
  while (!waits_.empty()) {
    Arrival* const arrival = newest_free();
    if (arrival == nullptr) return;
    arrival->claim(*waits_.front());
    waits_.pop_front();
  }
}

Peers::Arrival* Peers::newest_free() const {
  const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                  [](const Arrival* arrival) { return arrival->is_free(); });
  return found == waiting_.rend() ? nullptr : *found;
}

void Peers::dismiss_waiting(std::size_t kept) {
  auto free = static_cast<std::size_t>(std::count_if(
      waiting_.begin(), waiting_.end(), [](const Arrival* arrival) { return arrival->is_free(); }));
  for (Arrival* arrival : waiting_) {
    if (free <= kept) return;
    if (!arrival->is_free()) continue;
    arrival->dismiss();
    --free;
  }
}

// Before a new one is added. Who waits is on this very loop.
void Peers::ping_all() {
  for (Arrival* arrival : waiting_) arrival->stream().probe(options_.answer_time);
  for (PeerStream* stream : in_use_) stream->ask_to_answer();
}

Task<bool> Peers::makes_room(Loop& loop) {
  const std::shared_ptr<Peers> self = shared_from_this();
  Wait wait(*this, loop, Clock::now() + options_.answer_time + told_by);
  if (!begin_vacancy(wait)) co_return true;
  co_await wait.over();
  co_return standing().connections == 0;
}

bool Peers::begin_vacancy(Wait& wait) {
  const std::lock_guard guard(lock_);
  if (standing_.connections == 0 || !is_single()) return false;
  ping_all();
  vacancies_.push_back(&wait);
  return true;
}

Task<std::unique_ptr<PeerStream>> Peers::take(Loop& loop, Clock::time_point deadline) {
  const std::shared_ptr<Peers> self = shared_from_this();
  const bool has_others = standing().connections > 0;
  Wait wait(*this, loop, until(deadline));
  begin_wait(wait);
  co_await wait.over();
  if (!wait.stream_) {
    const std::string why = has_others ? "it opens no further connection" : "it is not here";
    throw Failure(FailureKind::unreachable, "cannot reach " + options_.name + ": " + why);
  }
  auto stream = std::make_unique<PeerStream>(self, loop, std::move(wait.stream_),
                                             std::move(wait.info_), std::move(wait.early_));
  co_return std::move(stream);
}

Clock::time_point Peers::until(Clock::time_point deadline) const {
  const std::lock_guard guard(lock_);
  if (standing_.connections == 0) return deadline;
  const bool is_full = standing_.connections >= connections_ && newest_free() == nullptr;
  return std::min(deadline, Clock::now() + (is_full ? options_.full_time : options_.further_time));
}

void Peers::begin_wait(Wait& wait) {
  const std::lock_guard guard(lock_);
  if (closed_) return wait.end();
  waits_.push_back(&wait);
  match();
}

// Its time has come.
void Peers::Wait::expired() {
  const std::lock_guard guard(peers_.lock_);
  is_late_ = true;
  if (is_promised_) return;
  peers_.waits_.remove(this);
  peers_.vacancies_.remove(this);
  end();
}

}  // namespace nbdring
