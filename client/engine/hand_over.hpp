#pragma once
// A BackendLane whose requests are carried out by a BackendLane of another loop: for what there is
// only one of (a connection to a server that allows no second one, a websocket), while the lanes
// keep their threads.
//
//   lane's loop                              the carrier's loop
//   HandOver::read()  --- errands of a turn --->  Carrier: a task for each, on the inner lane
//        resumed      <--- what ended in a turn ---
//
// A request's errand lives in the frame of the coroutine that awaits it, so nothing is allocated.
// Errands go over in the order in which they were made. What one turn of a loop has for the other
// goes over together: one atomic exchange and at most one wake-up for all of it, and none while the
// other side has yet to look at what it was given before. No locks.
//
// A hand-over that is given up gives up its own requests; those of the others go on.
//
// The carrier outlives its hand-overs. A hand-over is made, used, closed and destroyed on its own
// loop's thread.

#include <atomic>
#include <coroutine>

#include "client/engine/backend.hpp"
#include "client/engine/backend_request.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"

namespace nbdring {

class HandOver;

/// The lane that is carried to. All on the carrier's thread.
class SharedLane : public BackendLane {
 public:
  /// is_given_up outlives the request; from when it is true on, it is as BackendLane::give_up()
  /// says, for this request.
  virtual Task<Status> serve(BackendRequest request, const bool& is_given_up) = 0;
  /// One of those has become true.
  virtual void look_again() noexcept = 0;
};

/// One request on its way, and back.
struct Errand {
  BackendRequest request;
  Status status;
  HandOver* from = nullptr;
  std::coroutine_handle<> waiting;
  Errand* next = nullptr;
};

/// Errands in their order, within one thread.
class ErrandQueue {
 public:
  void push(Errand& errand) {
    errand.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &errand;
    last_ = &errand;
  }
  Errand* take_all() { return std::exchange(first_, nullptr); }
  bool empty() const { return first_ == nullptr; }

 private:
  Errand* first_ = nullptr;
  Errand* last_ = nullptr;
};

/// Errands from one thread to another.
class ErrandBox {
 public:
  /// Leaves a chain, first errand first. True when the box was empty: its reader is to be woken.
  bool leave(Errand* chain) noexcept;
  /// All that was left, first errand first.
  Errand* take_all() noexcept;

 private:
  std::atomic<Errand*> newest_{nullptr};
};

/// The side that carries out. Made and destroyed on its loop's thread; drain() before.
class Carrier final : private TurnEnd {
 public:
  Carrier(Loop& loop, SharedLane& inner);

  Loop& loop() { return loop_; }
  /// Ends when every errand that came has been carried out and given back.
  Task<void> drain();
  FramePool& frames() { return loop_.frames(); }

 private:
  friend class HandOver;

  void accept(Errand* chain);
  Task<void> carry(Errand& errand);
  void turn_ended() noexcept override;

  Loop& loop_;
  SharedLane& inner_;
  Scope errands_;
  ErrandQueue finished_;  // in this turn
};

/// The lane's side.
class HandOver final : public BackendLane, private TurnEnd {
 public:
  HandOver(Loop& loop, Carrier& carrier);
  ~HandOver() override;

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return send(BackendRequest::read(offset, buffer));
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return send(BackendRequest::write(offset, buffer, fua));
  }
  Task<Status> flush() override { return send(BackendRequest::flush()); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return send(BackendRequest::trim(offset, length, fua));
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return send(BackendRequest::write_zeroes(offset, length, mode));
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return send(BackendRequest::extents_of(offset, length, list));
  }
  /// A flush: the inner lane stays, for others use it. A lane that asked for nothing needs none,
  /// and one that was given up waits for nothing.
  Task<Status> close() override;
  void give_up() noexcept override;

  FramePool& frames() override { return loop_.frames(); }

 private:
  friend class Carrier;

  class Sending;
  class ToCarrier final : public Message {
   public:
    explicit ToCarrier(HandOver& owner) : owner_(owner) {}
    void deliver() noexcept override;

   private:
    HandOver& owner_;
  };
  class ToLane final : public Message {
   public:
    explicit ToLane(HandOver& owner) : owner_(owner) {}
    void deliver() noexcept override;

   private:
    HandOver& owner_;
  };

  class Farewell final : public Message {
   public:
    explicit Farewell(HandOver& owner) : owner_(owner) {}
    void deliver() noexcept override;

   private:
    HandOver& owner_;
  };

  Task<Status> send(BackendRequest request);
  void turn_ended() noexcept override;

  Loop& loop_;
  Carrier& carrier_;
  ErrandQueue gathered_;  // in this turn
  std::size_t under_way_ = 0;
  bool was_used_ = false;
  ErrandBox to_carry_;
  ErrandBox carried_;
  ToCarrier to_carrier_{*this};
  ToLane to_lane_{*this};
  bool is_given_up_ = false;
  bool carrier_gives_up_ = false;  // of the carrier's thread
  std::atomic<bool> farewell_posted_{false};
  Farewell farewell_{*this};
};

}  // namespace nbdring
