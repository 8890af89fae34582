#pragma once
// One connection of one of a device's lanes: its thread, and what the device knows of it. When it
// is lost another takes its place, and it stays until what it had begun has ended.
//
// Belongs to Device, and to its thread; the lane's thread tells state changes under Device::told_.

#include <atomic>
#include <exception>

#include "client/engine/device.hpp"
#include "client/engine/lane_thread.hpp"

namespace nbdring {

class Device::Connection final : private LaneWatcher, private Message {
 public:
  enum class State {
    starting,
    serving,
    parked,
    draining,  // lost: what it had begun has not ended
    ended,     // the thread is at its end
  };
  enum class Wish { serve, pause, hand_on };

  /// Starts the thread; Device::changed_ tells what becomes of it. Where it cannot serve, a
  /// replacement says why in the log.
  Connection(Device& device, DeviceLane& lane, FileDescriptor socket, bool is_replacement);
  ~Connection();  // joins

  State state() const { return state_; }  // with told_ held
  bool is_draining() const { return state_ == State::draining; }
  bool is_running() const { return state_ != State::ended; }
  /// Why it never served; null where it did. After its end.
  std::exception_ptr failure() const { return failure_; }
  /// After hand_on: the driver's connection, as it is.
  FileDescriptor take_socket() { return std::move(handed_on_); }

  void ask(Wish wish) noexcept;
  void shut_down() noexcept { thread_.shut_down(); }

 private:
  Task<void> serve(Loop& loop, SocketStream& stream);
  Task<void> close(BackendLane& backend);
  void say_end(const LaneEnd& end);
  void say_failure();
  void ended(const std::exception_ptr& failure);
  void become(State state) noexcept;
  bool is_parked() const noexcept;

  // LaneWatcher and Message: on the lane's thread
  bool is_lost(const LaneEnd& end) noexcept override;
  void lost(Clock::duration oldest) noexcept override;
  void parked() noexcept override { become(State::parked); }
  void deliver() noexcept override;

  Device& device_;
  DeviceLane& lane_;
  const bool is_replacement_;
  State state_ = State::starting;  // Device::told_
  std::exception_ptr failure_;     // Device::told_
  std::atomic<Wish> wish_{Wish::serve};
  std::atomic<bool> is_posted_{false};
  Lane* serving_ = nullptr;  // the lane's thread only, like the next
  bool was_lost_ = false;
  FileDescriptor handed_on_;
  LaneThread thread_;  // last: it uses all of the above
};

/// A lane of the device, whatever its connection.
struct Device::DeviceLane {
  explicit DeviceLane(std::size_t its_index) : index(its_index) {}

  const std::size_t index;
  LaneStats stats;
  std::atomic<std::int64_t> age_when_lost{0};  // milliseconds
  std::unique_ptr<Connection> connection;      // null: there was none yet
  std::vector<std::unique_ptr<Connection>> former;
};

}  // namespace nbdring
