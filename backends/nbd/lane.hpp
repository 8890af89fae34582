#pragma once
// A lane of a remote backend: a member of the device (remote.hpp) with a connection of its own, or,
// where the server allows only one connection, a customer of the keeper's.
//
// The way of a request (serve(), in lane_requests.cpp). While the connection serves, it is sent.
// While it does not, the request is parked; a request whose connection was lost before the answer
// came is parked again, in its old place, for nobody knows whether it was done, and all of them can
// be done twice. What is parked ends with EIO only when the remote refuses (its recovery window is
// over, it was abandoned).
//
// What is parked, or waits for room, ends with ECANCELED when it is given up. A change that was
// sent and lost does so only when every connection of its epoch has ended: what is sent later is
// sent behind the fence, so that the lost one cannot be done over it.
//
// A change needs room in the journal before it is sent. None: the lane flushes, and the change
// waits. One that is larger than the whole journal is flushed before it is acknowledged instead.
// Half full: the lane flushes in the background, so that room is rarely waited for.
//
// A change with FUA is durable by itself. It gets an entry all the same while anything is
// volatile: a replay of what was acknowledged before it must not be the last word where both
// overlap.
//
// The life of a connection (tend(), in lane.cpp): wait for an epoch, connect, be admitted, serve
// until it is lost or the remote says that the epoch is over, end it, tell the remote. A lane
// connects with its first request.
//
// One loop's thread, wake() but for. Nothing allocates per request.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "backends/nbd/dial.hpp"
#include "backends/nbd/lane_parking.hpp"
#include "backends/nbd/link.hpp"
#include "backends/nbd/remote.hpp"
#include "client/engine/backend.hpp"
#include "client/engine/backend_request.hpp"
#include "client/engine/hand_over.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/scope.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

class NbdLane final : public SharedLane, public Remote::Member {
 public:
  /// spare: of the keeper's own lane, which takes the connection that the keeper has made, if there
  /// is one; null for all others.
  NbdLane(Loop& loop, const ConnectionSource& source, Remote& remote, const RemoteOptions& options,
          std::unique_ptr<Link>* spare = nullptr);
  ~NbdLane() override;

  Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    return serve(BackendRequest::read(offset, buffer));
  }
  bool passes_pages_on() noexcept override { return source_.may_be_in_clear(); }
  Task<Status> read_pages(std::uint64_t offset, std::span<std::byte> buffer,
                          Arrival& arrival) override {
    auto request = BackendRequest::read(offset, buffer);
    request.arrival = &arrival;
    return serve(request);
  }
  Task<Status> write(std::uint64_t offset, std::span<const std::byte> buffer, bool fua) override {
    return serve(BackendRequest::write(offset, buffer, fua));
  }
  Task<Status> flush() override { return serve(BackendRequest::flush()); }
  Task<Status> trim(std::uint64_t offset, std::uint64_t length, bool fua) override {
    return serve(BackendRequest::trim(offset, length, fua));
  }
  Task<Status> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) override {
    return serve(BackendRequest::write_zeroes(offset, length, mode));
  }
  Task<Status> extents(std::uint64_t offset, std::uint64_t length, ExtentList& list) override {
    return serve(BackendRequest::extents_of(offset, length, list));
  }
  Task<Status> close() override;
  void give_up() noexcept override;
  FramePool& frames() override { return loop_.frames(); }

  Task<Status> serve(BackendRequest request, const bool& is_given_up) override;
  void look_again() noexcept override;

  void wake() noexcept override;

 private:
  class Wake final : public Message {
   public:
    explicit Wake(NbdLane& lane) : lane_(lane) {}
    void deliver() noexcept override { lane_.woken(); }

   private:
    NbdLane& lane_;
  };
  /// Ends a pause.
  class Alarm final : public Timer {
   public:
    Alarm(Loop& loop, Clock::duration after, Event& event)
        : Timer(loop, Clock::now() + after), event_(event) {}

   private:
    void expired() override { event_.raise(); }
    Event& event_;
  };

  // --- the connection: lane.cpp ---
  void start();
  Task<void> tend();
  /// Why there is no connection.
  struct Refused {
    std::string reason;
    bool is_other_disk = false;
  };
  Task<std::unique_ptr<Link>> connect(Refused& refused);
  Task<void> live(std::uint64_t epoch, std::unique_ptr<Link> link);
  Task<void> stay(Link& link, Scope& tasks);
  Task<void> watch(Connection& connection);
  Task<void> prove(Link& link);
  Task<void> wait_unused();
  Task<void> pause();
  void woken() noexcept;
  bool is_keepers() const { return spare_ != nullptr; }

  // --- requests: lane_requests.cpp ---
  Task<Status> serve(BackendRequest request) { return serve(request, is_given_up_); }
  bool is_settled(std::uint64_t lost_in) const;
  Task<void> resume_waiting();
  Task<Answer> send(Link& link, const BackendRequest& request, bool flush_too);
  Task<Answer> perform_over(Link& link, const BackendRequest& request);
  Task<void> flush_in_background();
  void flush_soon();
  void settle(const BackendRequest& request, std::size_t room, Status status);
  void free_room(std::size_t room);
  void flushed(std::uint64_t covered);
  std::size_t room_for(const BackendRequest& request) const;
  void begin_use() { ++users_; }
  void end_use();
  void close_gate() { is_open_ = false; }

  Loop& loop_;
  const ConnectionSource& source_;
  Remote& remote_;
  const RemoteOptions& options_;
  std::unique_ptr<Link>* spare_;
  Journal* journal_ = nullptr;  // the remote's; null: none is kept

  Scope tasks_;
  Event attention_;  // something changed: tend() looks
  Wake wake_{*this};
  std::atomic<bool> wake_posted_{false};
  bool has_started_ = false;
  bool is_leaving_ = false;
  bool is_given_up_ = false;   // by its only customer, the engine...
  bool has_given_up_ = false;  // ...or by some customer
  bool is_connecting_ = false;
  bool has_changed_ = false;  // anything, ever
  unsigned failures_ = 0;     // to connect, in a row

  Link* link_ = nullptr;                 // the connection, while there is one
  std::uint64_t epoch_ = 0;              // of the connection
  std::unique_ptr<HandOver> hand_over_;  // instead of it
  bool is_open_ = false;                 // requests may be sent
  bool was_admitted_ = false;            // this connection
  bool is_proving_ = false;
  std::size_t users_ = 0;           // requests that are with the connection
  std::uint64_t lost_changes_ = 0;  // of this connection: may be done, or be ghosts
  std::uint64_t answers_ = 0;       // of this connection
  Event unused_;                    // users_ has become 0

  std::uint64_t tickets_ = 0;
  Parking parked_;   // until the gate opens
  Parking no_room_;  // until the journal has room
  bool is_flushing_ = false;
  Status flush_status_;  // of the last flush in the background
};

}  // namespace nbdring
