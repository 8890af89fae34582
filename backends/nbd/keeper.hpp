#pragma once
// Who brings a remote backend's server back. One per device, on a loop of its own.
//
// It makes the first connection, which tells what is served. Afterwards it waits until the device
// is suspended (remote.hpp), and then, until it succeeds: connect, see that it is the same export,
// wait until no ghost can come, write the journals again, flush, let the next epoch begin. Between
// attempts it waits exponentially longer, with jitter, for many clients may have lost the same
// server; not so where the server comes to us (Endpoint::waits_by_itself). When the recovery window
// is over, requests fail; it goes on all the same.
//
// It holds its connection until a lane has one: servers exist that end with their last client. It
// does not hold it longer: servers exist that count them.
//
// Where the server allows one connection only, the keeper's is the one: a lane of its own uses it,
// and the other lanes hand their requests over (client/engine/hand_over.hpp).
//
// Everything on the loop's thread but stop() and wake().

#include <atomic>
#include <memory>
#include <random>
#include <string>

#include "backends/nbd/dial.hpp"
#include "backends/nbd/lane.hpp"
#include "backends/nbd/link.hpp"
#include "backends/nbd/remote.hpp"
#include "backends/nbd/remote_log.hpp"
#include "client/engine/hand_over.hpp"
#include "client/runtime/loop.hpp"
#include "client/runtime/sync.hpp"

namespace nbdring {

class Keeper final : public Remote::Member {
 public:
  Keeper(Loop& loop, const ConnectionSource& source, Remote& remote, const RemoteOptions& options,
         RemoteLog& log);

  /// The first connection. Throws Failure, and nothing is to be ended.
  Task<void> start();
  /// Until stop(). Everything it made has ended then. Every lane has been closed before.
  Task<void> run();
  void stop() noexcept;  // any thread

  void wake() noexcept override;  // any thread
  FramePool& frames() { return loop_.frames(); }

 private:
  class Wake final : public Message {
   public:
    explicit Wake(Keeper& keeper) : keeper_(keeper) {}
    void deliver() noexcept override { keeper_.woken(); }

   private:
    Keeper& keeper_;
  };
  class Window final : public Timer {
   public:
    Window(Loop& loop, Clock::time_point when, Keeper& keeper)
        : Timer(loop, when), keeper_(keeper) {}

   private:
    void expired() override { keeper_.window_is_over(); }
    Keeper& keeper_;
  };
  class Alarm final : public Timer {
   public:
    Alarm(Loop& loop, Clock::time_point when, Event& event) : Timer(loop, when), event_(event) {}

   private:
    void expired() override { event_.raise(); }
    Event& event_;
  };

  Task<void> recover();
  Task<bool> try_to_recover(std::string& failure);
  Task<void> dial_again(std::string& failure);
  Task<bool> write_again(Link& link, std::string& failure);
  Task<void> drop(std::unique_ptr<Link> link, bool had_changes);
  Task<void> wait_until(Clock::time_point when);
  Task<void> end_all();
  void use_one_connection();
  void woken() noexcept;
  void window_is_over();
  void watch_window(const Remote::Work& work);
  void tell_attempt(const std::string& failure);
  Clock::duration next_pause();
  bool is_ending() const { return stopping_ || remote_.work().abandoned; }

  Loop& loop_;
  const ConnectionSource& source_;
  Remote& remote_;
  const RemoteOptions& options_;
  RemoteLog& log_;

  Event attention_;
  Wake wake_{*this};
  std::atomic<bool> wake_posted_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<Window> window_;
  std::unique_ptr<Link> spare_;       // a connection that nobody uses yet
  bool adopts_ = false;               // what a former engine left, with the spare connection
  std::unique_ptr<NbdLane> sole_;     // the lane for all lanes...
  std::unique_ptr<Carrier> carrier_;  // ...and how they reach it
  unsigned attempts_ = 0;             // of this recovery
  unsigned flaps_ = 0;                // successes in a row that did not last
  Clock::time_point recovered_at_{};
  std::uint64_t replayed_writes_ = 0;  // in this attempt
  std::uint64_t replayed_bytes_ = 0;
  std::minstd_rand jitter_;
};

}  // namespace nbdring
