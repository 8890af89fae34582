#include "client/engine/hand_over.hpp"

#include <utility>

#include "client/runtime/error.hpp"

namespace nbdring {

bool ErrandBox::leave(Errand* chain) noexcept {
  // Newest first, as the box is: the chain is turned round once here and once by the reader.
  Errand* reversed = nullptr;
  Errand* const oldest = chain;
  while (chain != nullptr) {
    Errand* const next = chain->next;
    chain->next = reversed;
    reversed = std::exchange(chain, next);
  }
  // Acquire, too: who finds the box empty posts the message again, which the reader, done with it,
  // let go of when it emptied the box.
  Errand* before = newest_.load(std::memory_order_relaxed);
  do {
    oldest->next = before;
  } while (!newest_.compare_exchange_weak(before, reversed, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
  return before == nullptr;
}

Errand* ErrandBox::take_all() noexcept {
  Errand* newest = newest_.exchange(nullptr, std::memory_order_acq_rel);
  Errand* oldest = nullptr;
  while (newest != nullptr) {
    Errand* const next = newest->next;
    newest->next = oldest;
    oldest = std::exchange(newest, next);
  }
  return oldest;
}

Carrier::Carrier(Loop& loop, SharedLane& inner)
    : TurnEnd(loop), loop_(loop), inner_(inner), errands_(loop.frames()) {}

Task<void> Carrier::drain() {
  co_await errands_.join();
  // What has just ended goes back at the end of this turn.
  co_await loop_.sleep(Clock::duration::zero());
}

void Carrier::accept(Errand* chain) {
  while (chain != nullptr) {
    Errand* const next = chain->next;
    errands_.spawn(carry(*chain));
    chain = next;
  }
}

Task<void> Carrier::carry(Errand& errand) {
  errand.status = co_await inner_.serve(errand.request, errand.from->carrier_gives_up_);
  finished_.push(errand);
}

// Errands of several lanes may be mixed: each run of one lane's goes back in one piece.
void Carrier::turn_ended() noexcept {
  Errand* first = finished_.take_all();
  while (first != nullptr) {
    HandOver& lane = *first->from;
    Errand* last = first;
    while (last->next != nullptr && last->next->from == &lane) last = last->next;
    Errand* const others = std::exchange(last->next, nullptr);
    // The lane may be gone as soon as it has its last errand: it is told of them only where it must
    // be, and that is the last that is done to it.
    if (lane.carried_.leave(first)) lane.loop_.post(lane.to_lane_);
    first = others;
  }
}

class HandOver::Sending {
 public:
  Sending(HandOver& lane, Errand& errand) : lane_(lane), errand_(errand) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    errand_.waiting = waiting;
    lane_.gathered_.push(errand_);
    lane_.has_work();
  }
  void await_resume() const noexcept {}

 private:
  HandOver& lane_;
  Errand& errand_;
};

HandOver::HandOver(Loop& loop, Carrier& carrier) : TurnEnd(loop), loop_(loop), carrier_(carrier) {}

HandOver::~HandOver() { ENSURE(under_way_ == 0); }

Task<Status> HandOver::send(BackendRequest request) {
  Errand errand;
  errand.request = request;
  errand.from = this;
  was_used_ = true;
  ++under_way_;
  co_await Sending(*this, errand);
  --under_way_;
  co_return errand.status;
}

Task<Status> HandOver::close() {
  while (farewell_posted_.load(std::memory_order_acquire)) {
    co_await loop_.sleep(std::chrono::milliseconds(1));
  }
  if (!was_used_ || is_given_up_) co_return Status::ok();
  co_return co_await send(BackendRequest::flush());
}

void HandOver::give_up() noexcept {
  if (std::exchange(is_given_up_, true) || under_way_ == 0) return;
  farewell_posted_.store(true, std::memory_order_relaxed);
  carrier_.loop_.post(farewell_);
}

void HandOver::Farewell::deliver() noexcept {
  owner_.carrier_gives_up_ = true;
  owner_.carrier_.inner_.look_again();
  owner_.farewell_posted_.store(false, std::memory_order_release);  // last: it may be gone then
}

void HandOver::turn_ended() noexcept {
  if (gathered_.empty()) return;
  if (to_carry_.leave(gathered_.take_all())) carrier_.loop_.post(to_carrier_);
}

void HandOver::ToCarrier::deliver() noexcept {
  owner_.carrier_.accept(owner_.to_carry_.take_all());
}

void HandOver::ToLane::deliver() noexcept {
  Errand* errand = owner_.carried_.take_all();
  while (errand != nullptr) {
    Errand* const next = errand->next;  // the errand dies with its coroutine's resumption
    errand->waiting.resume();
    errand = next;
  }
}

}  // namespace nbdring
